//! Nothing that is asked for is passed over in silence, and nothing is printed into the void.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use samp_abi::plan::{MANIFEST_FILE, seal, unseal};

use crate::harness::{Harness, fails, files, ok, output, root, samp, text, tiny_llama};

#[test]
fn options_that_would_be_ignored_are_refused() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let (model, data) = (tiny_llama(), root().join("testdata/data/eval.jsonl"));
    let ids = tiny_llama().join("reference.safetensors");
    let [plan, model, data, ids] = [&plan, &model, &data, &ids].map(|path| path.to_str().unwrap());
    let saved: &[&str] = &["--ids", ids, "--save-logits", "logits"];
    let commands: [(&[&str], &str); 11] = [
        (&["eval", plan, "--data", data, "--save-logits", "logits"], "--save-logits"),
        (&[&["eval", plan, "--data", data][..], saved].concat(), "--data"),
        (&[&["eval", plan, "--against", model][..], saved].concat(), "--against"),
        (&[&["eval", plan, "--max-tokens", "9"][..], saved].concat(), "--max-tokens"),
        (&["eval", plan, "--data", data, "--max-tokens", "0"], "--max-tokens"),
        (&["eval", plan, "--data", data, "--max-tokens", "1"], "--max-tokens"),
        (&["sign", "--generate-key", "release", "--force"], "--force"),
        (&["sign", "--generate-key", "/"], "--generate-key"),
        (&["sign", "--generate-key", "folder/"], "--generate-key"),
        (&["compile", model, "--stop-after", "typed", "-o", "new"], "--stop-after"),
        (&["compile", model, "--stop-after", "typed", "--dry-run"], "--stop-after"),
    ];
    let work = harness.path("work");
    fs::create_dir_all(work.join("folder")).unwrap();
    for (args, named) in commands {
        let mut command = samp(args);
        command.current_dir(&work);
        let (_, said) = fails(2, command);
        assert!(said.starts_with("error[E1502]") && said.contains(named), "{args:?}: {said}");
        assert!(files(&work).is_empty(), "{args:?}");
    }
}

#[test]
fn nothing_is_written_into_what_is_read() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let checkpoint = harness.path("checkpoint");
    fs::create_dir(&checkpoint).unwrap();
    for (name, bytes) in files(&tiny_llama()) {
        fs::write(checkpoint.join(name), bytes).unwrap();
    }
    symlink(&plan, harness.path("link")).unwrap();
    let (data, ids) = (root().join("testdata/data/eval.jsonl"), tiny_llama().join("reference.safetensors"));
    let [in_plan, by_link] = ["plan/new", "link/new"].map(|name| harness.path(name));
    let in_checkpoint = checkpoint.join("new");
    let [plan, model, data, ids, in_plan, by_link, in_checkpoint] =
        [&plan, &checkpoint, &data, &ids, &in_plan, &by_link, &in_checkpoint]
            .map(|path| path.to_str().unwrap());
    let before = files(harness.dir.path());
    let commands: [&[&str]; 7] = [
        &["report", plan, "-o", in_plan],
        &["report", plan, "-o", by_link],
        &["export", plan, "-o", in_plan],
        &["eval", plan, "--ids", ids, "--save-logits", in_plan],
        &["compile", model, "-o", in_checkpoint],
        &["compile", model, "--target", "h100", "--kernels", in_checkpoint],
        &["measure", model, "--calib", data, "-o", in_checkpoint],
    ];
    for args in commands {
        let (_, said) = fails(2, samp(args));
        assert!(said.starts_with("error[E0712]") && said.contains("which is read"), "{args:?}: {said}");
        assert!(files(harness.dir.path()) == before, "{args:?}");
    }
    let mut beside = samp(["compile", "--quiet", ".", "-o", "../beside"]);
    beside.current_dir(&checkpoint);
    ok(beside);
}

#[test]
fn a_closed_stdout_is_the_environments_fault() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let ended = |command: &str, to: &str| {
        let script = format!("exec {} {command} {} {to}", env!("CARGO_BIN_EXE_samp"), plan.display());
        output({
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]);
            shell
        })
    };
    for command in ["inspect", "inspect --json", "validate", "run -n 2 -p x", "report", "--help"] {
        let Output { status, stderr, .. } = ended(command, ">&-");
        assert_eq!(status.code(), Some(3), "{command}");
        assert!(text(&stderr).contains("stdout is closed"), "{command}: {}", text(&stderr));
        // /dev/null is open, for reading and writing as well.
        for to in [">/dev/null", "1<>/dev/null", "2>&- >/dev/null", "<&- >/dev/null"] {
            assert_eq!(ended(command, to).status.code(), Some(0), "{command} {to}");
        }
    }
}

/// Whether a terminal would follow what was printed.
fn leads_a_terminal(shown: &str) -> bool {
    shown.chars().any(|c| c.is_control() && c != '\n')
}

#[test]
fn names_lead_no_terminal() {
    let harness = Harness::new();
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\rerror[E0000]: x\nerror[E0001]: y";
    let place = harness.path(hostile);
    let (missing, plan) = (place.to_str().unwrap(), harness.path("\u{1b}[2Jplan\nerror[E0002]: z"));
    let plan = plan.to_str().unwrap();
    ok(harness.compiling("\u{1b}[2Jplan\nerror[E0002]: z", &[]));
    let commands: [&[&str]; 9] = [
        &["run", missing, "-p", "x"],
        &["compile", missing, "-o", "new"],
        &["compile", missing, "--dry-run", "--recipe", missing],
        &["eval", plan, "--data", missing],
        &["report", plan, "-o", missing, "--price-per-hour", missing],
        &["diff", plan, missing],
        &["explain", missing],
        &[missing],
        &["validate", plan],
    ];
    for args in commands {
        for json in [&[][..], &["--json"]] {
            let out = output(samp(args.iter().chain(json)));
            for shown in [text(&out.stdout), text(&out.stderr)] {
                assert!(!leads_a_terminal(&shown), "{args:?}: {shown:?}");
                let begun = shown.lines().filter(|line| line.starts_with("error[E000")).count();
                assert_eq!(begun, 0, "{args:?}: {shown}");
            }
        }
    }
    let said = text(&output(samp(["validate", plan])).stdout);
    assert!(said.ends_with("\\u{1b}[2Jplan\\nerror[E0002]: z: valid\n"), "{said}");
}

/// The loader takes an empty part of its search path for the working directory.
#[test]
fn no_driver_is_loaded_from_the_working_directory() {
    let harness = Harness::new();
    fs::create_dir(harness.path("lib")).unwrap();
    let planted = |name: &str| fs::write(harness.path(name), "no library").unwrap();
    let doctor = |folders: &str| {
        let mut command = samp(["doctor"]);
        command.current_dir(harness.dir.path()).env("LD_LIBRARY_PATH", folders);
        text(&output(command).stdout)
    };
    let refused = |folders: &str| doctor(folders).contains("LD_LIBRARY_PATH leads the loader to");
    assert!(!refused(":") && !refused("lib"), "nothing lies there");
    planted("libcuda.so.1");
    planted("lib/libcuda.so");
    for folders in [":", "/opt::/usr/lib", "lib", "/opt;lib"] {
        assert!(refused(folders), "{folders}: {}", doctor(folders));
    }
    assert!(!refused("") && !refused("/opt:/usr/lib"));
}

/// Relative folders of the user are mistakes, and a working directory is no place for caches.
#[test]
fn no_cache_is_made_in_the_working_directory() {
    let harness = Harness::new();
    let model = root().join("testdata/models/tiny-llama");
    let mut command = Command::new(env!("CARGO_BIN_EXE_samp"));
    command.env_remove("SAMP_CACHE").envs([("HOME", "."), ("XDG_CACHE_HOME", "caches")]);
    command.env("TMPDIR", harness.path("tmp")).current_dir(harness.path("work"));
    for folder in ["tmp", "work"] {
        fs::create_dir(harness.path(folder)).unwrap();
    }
    command.args(["compile", "--quiet", "--target", "h100", "-o", "plan"]).arg(model);
    ok(command);
    let made = fs::read_dir(harness.path("work")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(made.collect::<Vec<_>>(), ["plan"]);
}

/// Damages a file of a plan that the manifest names.
fn damaged(harness: &Harness, name: &str, file: &str, change: impl Fn(&mut Vec<u8>)) -> String {
    let plan = harness.compile(name, &["--force"]);
    let path = plan.join(file);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
    plan.to_str().unwrap().into()
}

#[test]
fn damaged_plans_are_not_compared() {
    let harness = Harness::new();
    let sound = harness.compile("sound", &[]);
    let sound = sound.to_str().unwrap();
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    for (file, code) in [
        ("weights-00001-of-00001.safetensors", "E1320"),
        ("golden.json", "E1307"),
        ("certificate.json", "E1307"),
        ("plan.json", "E1309"),
    ] {
        let change = |bytes: &mut Vec<u8>| match file {
            "plan.json" => *bytes = text(bytes).replacen("samp 0", "samp 9", 1).into_bytes(),
            _ => flip(bytes),
        };
        let plan = damaged(&harness, "damaged", file, change);
        for args in [["diff", sound, &plan], ["diff", &plan, sound], ["diff", &plan, &plan]] {
            let (_, said) = fails(2, samp(args));
            assert!(said.starts_with(&format!("error[{code}]")) && said.contains(&plan), "{file}: {said}");
        }
    }
}

/// Replaces the certificate of a plan, and seals the manifest anew.
fn certify(plan: &Path, certificate: &[u8]) {
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_string();
    let mut manifest = unseal(&fs::read(plan.join(MANIFEST_FILE)).unwrap(), hash).unwrap();
    let file = manifest.files.iter_mut().find(|file| file.path == "certificate.json").unwrap();
    (file.bytes, file.blake3) = (certificate.len() as u64, hash(certificate));
    fs::write(plan.join("certificate.json"), certificate).unwrap();
    fs::write(plan.join(MANIFEST_FILE), seal(&manifest, hash)).unwrap();
}

#[test]
fn a_certificate_that_cannot_be_read_is_a_finding() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let own = fs::read_to_string(plan.join("certificate.json")).unwrap();
    let other = own.replacen("\"2.0.0\"", "\"3.0.0\"", 1);
    assert_ne!(own, other);
    for (certificate, found) in [
        (&b"not json"[..], "expected a certificate, found: "),
        (b"[]", "expected a certificate, found: "),
        (b"{\"schema\": \"2.0.0\"}", "expected a certificate, found: missing field"),
        (other.as_bytes(), "expected schema version 2.0.0 or a compatible one, found 3.0.0"),
    ] {
        certify(&plan, certificate);
        let (said, _) = fails(1, samp(["validate".as_ref(), "--no-probe".as_ref(), plan.as_os_str()]));
        assert!(said.contains(&format!("certificate.json: {found}")), "{said}");
        let (_, said) = fails(2, samp(["report".as_ref(), plan.as_os_str()]));
        assert!(said.starts_with("error[E1202]") && said.contains(found), "{said}");
    }
    certify(&plan, own.as_bytes());
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
}
