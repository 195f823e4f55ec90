//! How commands end: exit codes, the document of a failure, and readers that have left.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Harness, fails, ok, output, root, samp, text, tiny_llama};

/// The error of a command that fails with `--json`; stdout has nothing else.
fn error(code: i32, command: Command) -> Value {
    let (shown, said) = fails(code, command);
    let mut document: Value = serde_json::from_str(&shown).unwrap_or_else(|e| panic!("{e}: {shown}{said}"));
    assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"], "{shown}");
    document["error"].take()
}

#[test]
fn a_failure_is_one_document_with_code_message_location_notes_and_hint() {
    let harness = Harness::new();
    let mut budget = samp(["compile", "--json", "--dry-run", "--budget", "1KB"]);
    budget.arg(tiny_llama());
    let found = error(1, budget);
    let keys: Vec<&String> = found.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "hint", "location", "message", "notes"], "{found}");
    assert!(found["code"] == "E0902" && found["notes"].as_array().unwrap().len() > 5, "{found}");

    let found = error(2, harness.compiling_model(Path::new("/nowhere"), "plan", &["--json"]));
    assert!(found["code"] == "E0308" && found["location"]["file"] == "/nowhere", "{found}");
    let found = error(2, samp(["run", "--json", "/nowhere", "-p", "x"]));
    assert!(found["code"] == "E1338" && found["location"]["file"] == "/nowhere", "{found}");
    let found = error(2, samp(["inspect", "--json", "--unheard-of"]));
    assert!(
        found["code"] == "E1502" && found["message"].as_str().unwrap().contains("--unheard-of"),
        "{found}"
    );
    assert!(
        found["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().starts_with("usage"))
    );
    let found = error(2, samp(["explain", "--json", "E0992"]));
    assert!(found["code"] == "E1505" && found["notes"].as_array().unwrap().len() == 3, "{found}");
}

#[test]
fn what_the_machine_refuses_exits_with_3_and_is_said_once() {
    let harness = Harness::new();
    let closed = harness.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(closed.join("probe"), "").is_ok() {
        println!("SKIPPED: this user may write anywhere");
    } else {
        let found = error(3, harness.compiling("closed/plan", &["--json"]));
        assert_eq!(found["message"].as_str().unwrap().matches("ermission denied").count(), 1, "{found}");
    }
    let mut without = harness.compiling("plan", &["--target", "h100", "--json"]);
    without.env("SAMP_NVRTC", "/nowhere");
    assert_eq!(error(3, without)["code"], "E0510");
    let mut full = samp(["completions", "bash"]);
    full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let (_, said) = fails(3, full);
    assert!(said.starts_with("error[E1503]"), "{said}");
}

#[test]
fn a_report_that_cannot_be_written_leaves_what_was_there() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let page = harness.path("no such folder/page.html");
    let report = |page: &Path| {
        let mut command = samp(["report", "-o"]);
        command.arg(page).arg(&plan);
        command
    };
    let (_, said) = fails(2, report(&page));
    assert!(said.starts_with("error[E0712]") && said.contains("page.html"), "{said}");
    let page = harness.path("page.html");
    let old = "<!doctype html><meta name=\"generator\" content=\"samp report\">";
    fs::write(&page, old).unwrap();
    let limited = |limit: &str| {
        let mut command = Command::new("sh");
        let script = format!("ulimit -f {limit}; trap '' XFSZ; exec \"$0\" report -o \"$1\" \"$2\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_samp")]).arg(&page).arg(&plan);
        command
    };
    fails(3, limited("8"));
    assert_eq!(fs::read_to_string(&page).unwrap(), old);
    assert_eq!(fs::read_dir(harness.dir.path()).unwrap().count(), 2, "nothing is left beside it");
    ok(report(&page));
    assert!(fs::read_to_string(&page).unwrap().ends_with("</html>\n"));
}

#[test]
fn an_stderr_that_nobody_reads_is_no_panic() {
    for args in [&["validate", "/nowhere"][..], &["run", "--unheard-of"], &["compile", "/nowhere", "-o", "x"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = samp(args);
        let out = command.stderr(writer).stdout(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {}", text(&out.stdout));
        let script = format!("exec {} {} 2>&-", env!("CARGO_BIN_EXE_samp"), args.join(" "));
        let closed = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(closed.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn codes_are_explained_in_any_spelling_and_all_listed() {
    let whole = ok(samp(["explain", "E0902"]));
    assert!(whole.starts_with("E0902: The weights of the plan exceed the budget\n"), "{whole}");
    assert!(whole.contains("exit code 1") && whole.contains("raise --budget"), "{whole}");
    assert_eq!(ok(samp(["explain", "902"])), whole);
    let listed = ok(samp(["explain"]));
    let document: Value = serde_json::from_str(&ok(samp(["explain", "--json"]))).unwrap();
    assert_eq!(listed.lines().count(), document["codes"].as_array().unwrap().len());
    let (_, said) = fails(2, samp(["explain", "E0992"]));
    assert!(said.starts_with("error[E1505]") && said.contains("E0902"), "{said}");
    let help = output(samp(["--help"]));
    assert!(help.status.success() && text(&help.stdout).contains("explain"), "{help:?}");
}

#[test]
fn a_gpu_plan_of_another_build_is_said_to_be_one() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--target", "h100"]);
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_string();
    let manifest = plan.join(samp_abi::plan::MANIFEST_FILE);
    let mut contents = samp_abi::plan::unseal(&fs::read(&manifest).unwrap(), hash).unwrap();
    let file = contents.files.iter_mut().find(|file| file.path.ends_with(".cubin")).unwrap();
    let other = file.path.replace("-sm", "-other-sm");
    fs::rename(plan.join(&file.path), plan.join(&other)).unwrap();
    file.path = other;
    contents.files.sort_by(|a, b| a.path.cmp(&b.path));
    fs::write(&manifest, samp_abi::plan::seal(&contents, hash)).unwrap();
    let mut command = samp(["run", "--json", "-p", "x"]);
    command.arg(&plan);
    let found = error(2, command);
    assert_eq!(found["code"], "E1336", "{found}");
    let said = format!("{} {}", found["message"], found["hint"]);
    assert!(said.contains("compiled by another build") && said.contains("compile the model again"), "{said}");
    assert!(!said.contains("damaged"), "{said}");
}

/// What stands in the tables is linked from where people look.
#[test]
fn the_page_of_errors_is_linked() {
    for page in ["README.md", "docs/cli.md"] {
        assert!(fs::read_to_string(root().join(page)).unwrap().contains("errors.md"), "{page}");
    }
}

#[test]
fn no_output_replaces_what_is_read_or_anything_else_that_is_not_its_like() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let (data, ids) = (harness.path("data.jsonl"), harness.path("ids.safetensors"));
    fs::copy(root().join("testdata/data/eval.jsonl"), &data).unwrap();
    fs::copy(tiny_llama().join("reference.safetensors"), &ids).unwrap();
    let model = tiny_llama();
    let weights = plan.join("weights-00001-of-00001.safetensors");
    let measure: &[&OsStr] = &["measure".as_ref(), model.as_ref(), "--calib".as_ref(), data.as_ref()];
    let logits: &[&OsStr] = &["eval".as_ref(), plan.as_ref(), "--ids".as_ref(), ids.as_ref()];
    let report: &[&OsStr] = &["report".as_ref(), plan.as_ref()];
    let (o, saved): (&OsStr, &OsStr) = ("-o".as_ref(), "--save-logits".as_ref());
    for (command, flag, output) in [
        (measure, o, &data),
        (report, o, &plan.join("plan.json")),
        (report, o, &data),
        (logits, saved, &weights),
        (logits, saved, &ids),
    ] {
        let before = fs::read(output).unwrap();
        let (_, said) = fails(2, samp(command.iter().copied().chain([flag, output.as_ref()])));
        assert!(said.starts_with("error[E0711]") || said.starts_with("error[E0712]"), "{said}");
        assert_eq!(fs::read(output).unwrap(), before, "{}", output.display());
    }
}
