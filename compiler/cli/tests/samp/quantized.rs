//! Checkpoints that other tools quantized, compiled: their logits are those of the tool's own weights.

use std::path::{Path, PathBuf};

use crate::{
    harness::{Harness, fails, ok, root, samp},
    logits::{Reference, largest_difference},
};

fn fixture(name: &str) -> PathBuf {
    root().join("testdata/quantized").join(name)
}

/// The largest difference between a plan's logits and those of transformers with the dequantized weights.
fn difference(harness: &Harness, folder: &Path, args: &[&str]) -> f32 {
    let plan = harness.path("plan");
    ok(harness.compiling_model(folder, "plan", &[args, &["--force", "--exact"]].concat()));
    let (out, expected) = (harness.path("logits.safetensors"), folder.join("expected.safetensors"));
    let mut command = samp(["eval", "--ids"]);
    command.arg(&expected).arg("--save-logits").arg(&out).arg(plan);
    ok(command);
    largest_difference(&Reference::read(&out).logits, &Reference::read(&expected).logits)
}

#[test]
fn quantized_checkpoints_are_dequantized_and_rounded_anew() {
    let harness = Harness::new();
    let entries =
        std::fs::read_dir(root().join("testdata/quantized")).unwrap().map(|entry| entry.unwrap().path());
    for folder in entries.filter(|path| path.is_dir()) {
        let found = difference(&harness, &folder, &["--requantize", "--recipe", "uniform:f32"]);
        assert!(found <= 1e-4, "{}: {found}", folder.display());
    }
}

#[test]
fn quantized_checkpoints_are_kept_as_they_are() {
    let harness = Harness::new();
    for name in [
        "awq-g64",
        "bnb-fp4-dq",
        "bnb-int8",
        "bnb-nf4-dq",
        "ct-int4-g128",
        "ct-int8-channel",
        "fbgemm-fp8",
        "gptq-g64-asym",
        "modelopt-fp8",
    ] {
        let found = difference(&harness, &fixture(name), &[]);
        assert!(found <= 1e-4, "{name}: {found}");
    }
}

#[test]
fn what_no_format_holds_is_refused_until_a_rule_or_a_flag_says_what_to_do() {
    let harness = Harness::new();
    let folder = fixture("ct-nvfp4");
    let (_, said) = fails(2, harness.compiling_model(&folder, "plan", &[]));
    assert!(said.contains("E0341") && said.contains("--requantize"), "{said}");
    assert!(!harness.path("plan").exists());
    let recipe = harness.path("recipe.toml");
    std::fs::write(&recipe, "name = \"r\"\n[[rule]]\nmatch = \"layers.*\"\nformat = \"f32\"\n").unwrap();
    let recipe = recipe.to_str().unwrap();
    assert!(difference(&harness, &folder, &["--recipe", recipe]) <= 1e-4);
    assert!(difference(&harness, &folder, &["--requantize", "--recipe", "uniform:f32"]) <= 1e-4);
}

#[test]
fn a_rule_takes_the_place_of_what_would_be_kept() {
    let harness = Harness::new();
    let recipe = harness.path("recipe.toml");
    std::fs::write(&recipe, "name = \"r\"\n[[rule]]\nmatch = \"*.down_proj\"\nformat = \"int8\"\n").unwrap();
    ok(harness.compiling_model(&fixture("gptq-g128"), "plan", &["--recipe", recipe.to_str().unwrap()]));
    let mut inspect = samp(["inspect"]);
    let said = ok({
        inspect.arg(harness.path("plan"));
        inspect
    });
    assert!(said.contains("int8") && said.contains("int4"), "{said}");
}

#[test]
fn measurements_are_made_of_dequantized_weights_where_that_is_asked_for() {
    let harness = Harness::new();
    let records = harness.path("records.jsonl");
    std::fs::write(&records, "{\"text\": \"a\"}\n").unwrap();
    let args = ["--calib", records.to_str().unwrap()];
    let (_, said) = fails(2, harness.compiling_model(&fixture("gptq-g128"), "plan", &args));
    assert!(said.contains("E0341") && said.contains("--requantize"), "{said}");
}
