//! Which plan it is: digests, signatures, names and versions.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use samp_abi::plan::Plan;
use serde_json::Value;

use crate::harness::{Harness, fails, ok, samp, tiny_llama};

const FAST: [&str; 2] = ["--recipe", "uniform:nf4"];

fn on(plan: &Path, args: &[&str]) -> Command {
    let mut command = samp(args);
    command.arg(plan);
    command
}

fn manifest(plan: &Path) -> Plan {
    samp_runtime::open(plan).unwrap().manifest().clone()
}

#[test]
fn the_digest_is_printed_and_checked() {
    let harness = Harness::new();
    let said = ok(harness.compiling("plan", &FAST));
    let plan = harness.path("plan");
    let digest = manifest(&plan).digest;
    let line = format!("digest blake3:{digest}\n");
    assert!(said.ends_with(&line), "{said}");
    assert!(ok(on(&plan, &["inspect"])).contains(&line));
    let (full, upper) = (format!("blake3:{digest}"), digest.to_uppercase());
    for expected in [&digest, &full, &upper] {
        ok(on(&plan, &["validate", "--no-probe", "--digest", expected]));
        ok(on(&plan, &["run", "-p", "The", "-n", "1", "--digest", expected]));
        ok(on(&plan, &["inspect", "--digest", expected]));
    }
    let other = "0".repeat(64);
    for command in [&["run", "-p", "The"][..], &["inspect"], &["report"]] {
        let (shown, message) = fails(1, on(&plan, &[command, &["--digest", &other]].concat()));
        assert!(shown.is_empty() && message.starts_with("error[E1402]"), "{shown}{message}");
        assert!(message.contains(&digest) && message.contains(&other), "{message}");
    }
    let out = harness.path("exported");
    fails(1, on(&plan, &["export", "--digest", &other, "-o", out.to_str().unwrap()]));
    assert!(!out.exists());
    let (shown, _) = fails(1, on(&plan, &["validate", "--json", "--no-probe", "--digest", &other]));
    let report: Value = serde_json::from_str(&shown).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(
        (finding["code"].as_str(), finding["location"]["file"].as_str()),
        (Some("E1402"), Some("plan.json"))
    );
    let problem = finding["message"].as_str().unwrap();
    assert!(problem.contains(&digest) && problem.contains(&other), "{problem}");
    let (_, message) = fails(2, on(&plan, &["run", "-p", "The", "--digest", &digest[..12]]));
    assert!(message.contains("expected 64 hex digits") && message.contains("found 12"), "{message}");
}

/// Makes a key in the harness' folder; gives the paths of its halves.
fn key(harness: &Harness, name: &str) -> [String; 2] {
    ok(samp(["sign".as_ref(), "--generate-key".as_ref(), harness.path(name).as_os_str()]));
    ["key", "pub"].map(|half| harness.path(&format!("{name}.{half}")).to_str().unwrap().to_owned())
}

#[test]
fn a_signed_plan_is_told_from_any_other() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &FAST);
    let [secret, public] = key(&harness, "release");
    let [_, stranger] = key(&harness, "stranger");
    let validate = |key: &str| on(&plan, &["validate", "--no-probe", "--key", key]);
    let problem = |key: &str| {
        let (shown, message) = fails(1, validate(key));
        assert!(shown.ends_with("1 finding\n") && message.is_empty(), "{shown}{message}");
        shown.lines().next().unwrap().to_owned()
    };
    let missing = problem(&public);
    let found = "error[E1403]: plan.json.minisig: expected a signature of the plan, found none";
    assert!(missing.starts_with(found) && missing.contains("ask whoever made the plan"), "{missing}");
    let said = ok(on(&plan, &["sign", "--key", &secret]));
    assert_eq!(said, format!("{}: signed\ndigest blake3:{}\n", plan.display(), manifest(&plan).digest));
    ok(validate(&public));
    ok(on(&plan, &["validate", "--strict", "--no-probe"]));
    ok(on(&plan, &["run", "-p", "The", "-n", "1", "--key", &public]));
    assert!(problem(&stranger).contains("found one by another key"));
    let (shown, message) = fails(1, on(&plan, &["run", "-p", "The", "--key", &stranger]));
    assert!(shown.is_empty() && message.starts_with("error[E1403]"), "{shown}{message}");
    // A signature is not replaced unless that is asked for.
    let signature = plan.join("plan.json.minisig");
    let before = fs::read(&signature).unwrap();
    let (_, message) = fails(2, on(&plan, &["sign", "--key", &secret]));
    assert!(message.contains("pass --force"), "{message}");
    for more in [&[][..], &["--force"]] {
        let (_, message) = fails(2, on(&plan, &[&["sign", "--key", &public], more].concat()));
        let found = "release.pub: expected a secret key, found a public key";
        assert!(message.starts_with("error[E1407]") && message.contains(found), "{message}");
    }
    assert_eq!(fs::read(&signature).unwrap(), before);
    ok(on(&plan, &["sign", "--force", "--json", "--key", &secret]));
    ok(validate(&public));
    assert_eq!(signature.metadata().unwrap().permissions().mode() & 0o444, 0o444);
    // Whatever lies there, the plan opens.
    for text in ["", "nonsense\n", "a\nb\nc\nd\n"] {
        fs::write(&signature, text).unwrap();
        ok(on(&plan, &["validate", "--no-probe"]));
        assert!(problem(&public).contains("expected a signature in minisign's format"), "{text:?}");
    }
    // The signature of one plan is none of another; compiling again takes the old one away.
    let other = harness.compile("other", &["--recipe", "uniform:f16"]);
    fs::write(other.join("plan.json.minisig"), &before).unwrap();
    let (shown, _) = fails(1, on(&other, &["validate", "--no-probe", "--key", &public]));
    assert!(shown.contains("found one that does not fit it"), "{shown}");
    harness.compile("other", &["--recipe", "uniform:f16", "--force"]);
    assert!(!other.join("plan.json.minisig").exists());
}

#[test]
fn keys_are_secret_and_never_overwritten() {
    let harness = Harness::new();
    let [secret, public] = key(&harness, "release");
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&secret), 0o600);
    assert_eq!(mode(&public) & 0o400, 0o400);
    let before = [&secret, &public].map(|path| fs::read(path).unwrap());
    let generate = || samp(["sign".as_ref(), "--generate-key".as_ref(), harness.path("release").as_os_str()]);
    let (_, message) = fails(2, generate());
    assert!(message.contains("release.key exists and is not replaced"), "{message}");
    fs::remove_file(&secret).unwrap();
    let (_, message) = fails(2, generate());
    assert!(message.contains("release.pub exists and is not replaced"), "{message}");
    assert!(!Path::new(&secret).exists() && fs::read(&public).unwrap() == before[1]);
    let (_, message) = fails(2, samp(["sign", "--generate-key", "/nowhere/at/all/key"]));
    assert!(message.starts_with("error[E1406]"), "{message}");
}

#[test]
fn files_that_are_no_keys_and_plans_that_are_damaged_are_not_signed() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &FAST);
    let [secret, public] = key(&harness, "release");
    let sign = |key: &str| on(&plan, &["sign", "--key", key]);
    let other = harness.path("other");
    fs::write(&other, "a comment\nno key\n").unwrap();
    for (key, expected) in [
        (&*public, "release.pub: expected a secret key, found a public key"),
        (other.to_str().unwrap(), "expected a secret key in minisign's format"),
        ("/nowhere", "reading /nowhere"),
        ("/tmp", "a folder in place of a regular file"),
    ] {
        let (_, message) = fails(2, sign(key));
        assert!(message.contains(expected), "{message}");
    }
    let (_, message) = fails(2, on(&plan, &["validate", "--no-probe", "--key", &secret]));
    assert!(message.contains("release.key: expected a public key, found a secret key"), "{message}");
    let golden = plan.join("golden.json");
    fs::write(&golden, fs::read_to_string(&golden).unwrap().replace("1", "2")).unwrap();
    fails(2, sign(&secret));
    assert!(!plan.join("plan.json.minisig").exists());
}

#[test]
fn an_encrypted_key_takes_its_password_from_the_environment() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &FAST);
    let mut generate =
        samp(["sign".as_ref(), "--generate-key".as_ref(), harness.path("release").as_os_str()]);
    generate.env("SAMP_KEY_PASSWORD", "open sesame");
    assert!(ok(generate).contains("release.key: signs plans; encrypted"));
    let secret = harness.path("release.key");
    let sign = |password: &str| {
        let mut command = on(&plan, &["sign", "--key", secret.to_str().unwrap()]);
        command.env("SAMP_KEY_PASSWORD", password);
        command
    };
    let (_, message) = fails(2, sign("open barley"));
    assert!(message.contains("expected the password of this key, found another"), "{message}");
    ok(sign("open sesame"));
    let public = harness.path("release.pub");
    ok(on(&plan, &["validate", "--no-probe", "--key", public.to_str().unwrap()]));
}

/// A copy of the shipped checkpoint, under a name of its own.
fn copied(folder: PathBuf) -> PathBuf {
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(tiny_llama()).unwrap() {
        let path = entry.unwrap().path();
        symlink(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    folder
}

#[test]
fn a_plan_knows_what_its_checkpoint_is_called() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &FAST);
    assert_eq!(manifest(&plan).provenance.name.as_deref(), Some("tiny-llama"));
    assert!(ok(on(&plan, &["inspect"])).starts_with("tiny-llama\nLlamaForCausalLM: "));
    assert!(ok(on(&plan, &["report"])).contains("<h1>tiny-llama</h1><p class=\"kind\">LlamaForCausalLM, "));
    let summary: Value = serde_json::from_str(&ok(on(&plan, &["inspect", "--json"]))).unwrap();
    assert_eq!(summary["name"], "tiny-llama");
    let snapshot = copied(harness.path("hub/models--org--a-model/snapshots/0e9e39f2"));
    ok(harness.compiling_model(&snapshot, "cached", &FAST));
    assert_eq!(manifest(&harness.path("cached")).provenance.name.as_deref(), Some("org/a-model"));
    let named = harness.compile("named", &[&FAST[..], &["--name", "a <b> & c"]].concat());
    assert!(ok(on(&named, &["report"])).contains("<h1>a &lt;b&gt; &amp; c</h1>"));
    let shown = ok(samp(["diff".as_ref(), plan.as_os_str(), named.as_os_str()]));
    assert_eq!(shown, "name tiny-llama→a <b> & c\nthe plans decide the same\n");
    for name in ["", "a\nb", "\u{1b}[31mred"] {
        let (_, message) = fails(2, harness.compiling("refused", &["--name", name]));
        assert!(message.starts_with("error[E1401]") && !message.contains('\u{1b}'), "{message}");
    }
    assert!(!harness.path("refused").exists());
}

#[test]
fn a_plan_of_the_schema_before_opens_without_a_name() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &FAST);
    let mut older = manifest(&plan);
    (older.schema.minor, older.provenance.name) = (0, None);
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let text = samp_abi::plan::seal(&older, hash);
    assert!(!text.contains("\"name\": null"));
    fs::write(plan.join("plan.json"), text).unwrap();
    ok(on(&plan, &["validate"]));
    assert!(ok(on(&plan, &["inspect"])).starts_with("LlamaForCausalLM: "));
    assert!(ok(on(&plan, &["report"])).contains("<h1>LlamaForCausalLM, "));
}

#[test]
fn the_version_says_what_it_was_built_of() {
    let short = ok(samp(["-V"]));
    let version = env!("CARGO_PKG_VERSION");
    assert!(short.starts_with(&format!("samp {version}")) && short.lines().count() == 1, "{short}");
    let long = ok(samp(["--version"]));
    let line = |name: &str| {
        let found =
            long.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {long}"));
        found.trim().to_owned()
    };
    assert_eq!(long.lines().next(), Some(&*format!("samp {version}")));
    assert_eq!(line("plan schema"), samp_abi::plan::SCHEMA_VERSION.to_string());
    assert_eq!(line("certificate schema"), samp_compiler::certificate::CERTIFICATE_VERSION.to_string());
    assert_eq!(line("profile schema"), samp_compiler::certificate::PROFILE_VERSION.to_string());
    assert_eq!(line("features").contains("parquet"), cfg!(feature = "parquet"));
    let commit = line("commit");
    let known = commit != "unknown";
    assert!(!known || commit.len() >= 7, "{commit}");
    assert_eq!(short.contains(&commit[..commit.len().min(12)]), known, "{short}");
}

/// Plans of one version are the same bytes, of whichever commit the command was built.
#[test]
fn the_commit_is_no_part_of_a_plan() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &FAST);
    assert_eq!(manifest(&plan).provenance.tool, concat!("samp ", env!("CARGO_PKG_VERSION")));
}
