//! Synthetic checkpoints compile to plans that run, and plans are measured.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{Harness, assert_same, fails, ok, samp};

const FEW: [&str; 8] = ["--prompt", "8", "--generate", "3", "--sequences", "1,2", "--repeat", "2"];

/// A synthetic checkpoint of two small layers.
fn synthesize(harness: &Harness, name: &str, args: &[&str]) -> PathBuf {
    let mut command = samp(["synth", "--shape", "tiny", "--quiet"]);
    command.args(args).arg(harness.path(name));
    ok(command);
    harness.path(name)
}

#[test]
fn a_synthetic_checkpoint_becomes_a_plan_that_runs_and_is_measured() {
    let harness = Harness::new();
    let model = synthesize(&harness, "model", &["--seed", "3"]);
    assert_same(&model, &synthesize(&harness, "again", &["--seed", "3", "--dtype", "bf16"]));
    let compiling = harness.compiling_model(&model, "plan", &["--strict", "--recipe", "uniform:nf4"]);
    ok(compiling);
    let plan = harness.path("plan");
    let mut running = samp(["run", "-p", "Any text", "-n", "4", "--ignore-eos", "--json"]);
    running.arg(&plan);
    let ran: Value = serde_json::from_str(&ok(running)).unwrap();
    assert_eq!((ran["prompt_tokens"].as_u64(), ran["tokens"].as_array().unwrap().len()), (Some(8), 4));

    let mut measuring = samp(["bench", "--quiet", "--threads", "1"]);
    measuring.arg(&plan).args(FEW);
    let shown = ok(measuring);
    let expected =
        ["on cpu, 1 threads, medians of 2", "prompt of 8 ", "generate 3 ", "decode 2 × 3 ", "f32 FMA "];
    let begun = |line: &str| shown.lines().any(|shown| shown.starts_with(line));
    assert!(expected.into_iter().all(begun), "{shown}");
    for line in ["memory ", "first token, warm ", "first token, cold ", "peak resident memory "] {
        assert!(begun(line), "{line}: {shown}");
    }
}

#[test]
fn a_measured_plan_is_the_one_that_was_asked_for() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let measuring = |args: &[&str]| {
        let mut command = samp(["bench", "--json", "--quiet"]);
        command.arg(&plan).args(FEW).args(args);
        command
    };
    let digest = samp_runtime::open(&plan).unwrap().digest().to_owned();
    let found: Value =
        serde_json::from_str(&ok(measuring(&["--digest", &digest, "--threads", "2"]))).unwrap();
    assert_eq!((found["digest"].as_str(), found["threads"].as_u64()), (Some(digest.as_str()), Some(2)));
    assert_eq!(found["decode"][1]["sequences"], 2);
    let (_, said) = fails(1, measuring(&["--digest", &"0".repeat(64)]));
    assert!(said.starts_with("error[E1402]"), "{said}");
}

#[test]
fn what_cannot_be_measured_or_made_is_refused_with_what_can() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--max-model-len", "64", "--max-num-seqs", "2"]);
    let (plan, there) = (plan.to_str().unwrap(), synthesize(&harness, "there", &["--layers", "1"]));
    let (there, new) = (there.to_str().unwrap(), harness.path("new"));
    let new = new.to_str().unwrap();
    let commands: [(&[&str], &str, &str); 9] = [
        (&["bench", plan, "--prompt", "65"], "E1453", "at most 64"),
        (&["bench", plan, "--generate", "65"], "E1453", "at most 64"),
        (&["bench", plan, "--sequences", "1,3"], "E1452", "at most 2"),
        (&["bench", plan, "--sequences", "1,0"], "E1502", "above 0, such as 16, found 0"),
        (&["bench", plan, "--repeat", "0"], "E1502", "above 0"),
        (&["bench", there], "E1338", "compile it first"),
        (&["synth", "--shape", "tiny", there], "E0710", "--force"),
        (&["synth", "--shape", "llama-7", new], "E1502", "llama-3.2-1b"),
        (&["synth", "--shape", "tiny", "--layers", "0", new], "E1502", "--layers"),
    ];
    for (args, code, expected) in commands {
        let (_, said) = fails(2, samp(args));
        assert!(said.starts_with(&format!("error[{code}]")) && said.contains(expected), "{args:?}: {said}");
    }
    synthesize(&harness, "there", &["--force", "--dtype", "f16"]);
    assert!(!harness.path("new").exists());
}
