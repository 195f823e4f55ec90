//! `samp validate` on plans that open: what is a finding, and what is not.

use std::{path::Path, process::Command};

use samp_abi::plan::{GOLDEN_FILE, MANIFEST_FILE, seal, unseal};
use serde_json::{Value, json};

use crate::harness::{Harness, fails, ok, samp};

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Changes a JSON file of the plan, and seals the manifest anew.
fn rewrite(plan: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_slice(&std::fs::read(plan.join(name)).unwrap()).unwrap();
    change(&mut document);
    let bytes = document.to_string().into_bytes();
    let mut manifest = unseal(&std::fs::read(plan.join(MANIFEST_FILE)).unwrap(), hash).unwrap();
    let file = manifest.files.iter_mut().find(|file| file.path == name).unwrap();
    (file.bytes, file.blake3) = (bytes.len() as u64, hash(&bytes));
    std::fs::write(plan.join(name), bytes).unwrap();
    std::fs::write(plan.join(MANIFEST_FILE), seal(&manifest, hash)).unwrap();
}

/// The findings on a plan that is expected to have some.
fn findings(plan: &Path) -> Value {
    let (shown, message) = fails(1, samp(["validate".as_ref(), "--json".as_ref(), plan.as_os_str()]));
    let mut report: Value = serde_json::from_str(&shown).unwrap_or_else(|e| panic!("{e}: {shown}{message}"));
    report["findings"].take()
}

/// A file, what is said of it, and how it is damaged.
type Damage = (&'static str, &'static str, fn(&mut Value));

#[test]
fn text_that_cannot_be_served_is_a_finding() {
    let harness = Harness::new();
    let damage: [Damage; 2] = [
        ("tokenizer.json", "expected a tokenizer that works", |t| t["model"]["type"] = json!("Unheard")),
        ("tokenizer_config.json", "expected a chat template that compiles", |t| {
            t["chat_template"] = json!("{% for m in messages %}");
        }),
    ];
    for (name, expected, change) in damage {
        let plan = harness.compile("plan", &["--force", "--recipe", "uniform:f16"]);
        rewrite(&plan, name, change);
        samp_runtime::open(&plan).unwrap();
        let found = findings(&plan);
        let place = (&found[0]["code"], &found[0]["location"]["file"]);
        assert_eq!(place, (&json!("E1210"), &json!(name)), "{found}");
        assert!(found[0]["message"].as_str().unwrap().starts_with(expected), "{found}");
    }
}

/// Compiling warns of such a tokenizer; a text that comes to the token is refused when it is read.
#[test]
fn a_tokenizer_with_more_tokens_than_the_model_is_no_finding() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    rewrite(&plan, "tokenizer.json", |t| t["model"]["vocab"]["unheard of"] = json!(5000));
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
}

#[test]
fn other_logits_than_the_probe_s_are_a_finding() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    rewrite(&plan, GOLDEN_FILE, |golden| golden["rows"][0]["logits"][0][1] = json!(1e3));
    let found = findings(&plan);
    assert_eq!((&found[0]["code"], found.as_array().unwrap().len()), (&json!("E1211"), 1), "{found}");
    ok(samp(["validate".as_ref(), "--no-probe".as_ref(), plan.as_os_str()]));
}

/// The probe takes a cache for its own tokens, not for all that the plan's limits allow.
#[test]
fn a_plan_for_a_larger_machine_is_valid() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--max-model-len", "1048576", "--max-num-seqs", "1048576"]);
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
}

/// Whatever keeps the probe from running is an error of this machine, and says nothing about the plan.
#[test]
fn a_probe_that_finds_no_memory_is_no_finding() {
    let harness = Harness::new();
    // Five gigabytes of arena, of which a run touches only what it needs.
    let plan = harness.compile("plan", &["--max-num-batched-tokens", "300000"]);
    let validating = |more: &str| {
        let mut command = Command::new("sh");
        let script = format!(
            "ulimit -v 4000000; exec {} validate {more} {}",
            env!("CARGO_BIN_EXE_samp"),
            plan.display()
        );
        command.args(["-c", &script]);
        command
    };
    let (shown, message) = fails(3, validating(""));
    assert!(shown.is_empty() && message.contains("--no-probe"), "{shown}{message}");
    ok(validating("--no-probe"));
}
