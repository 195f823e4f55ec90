//! An exported plan, judged by transformers.

use std::process::Command;

use safetensors::SafeTensors;

use crate::workbench::{Bench, ok, samp, text, tiny_llama};

/// Reads `ids` from argv[2], runs the checkpoint argv[1] in f32, writes logits to argv[3].
const JUDGE: &str = r#"
import sys, torch, transformers
from safetensors.torch import load_file, save_file
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation="eager")
with torch.no_grad():
    logits = model(load_file(sys.argv[2])["input_ids"]).logits
save_file({"logits": logits.contiguous()}, sys.argv[3])
"#;

/// A Python with torch and transformers: `SAMP_PYTHON`, or the one on the PATH.
fn python() -> Option<String> {
    let candidates = std::env::var("SAMP_PYTHON").into_iter().chain(["python3".into()]);
    let works = |python: &String| {
        let probe = Command::new(python).args(["-c", "import torch, transformers, safetensors"]).output();
        probe.is_ok_and(|out| out.status.success())
    };
    candidates.into_iter().find(works)
}

#[test]
fn transformers_gives_the_logits_of_the_plan() {
    let Some(python) = python() else {
        println!("SKIPPED: no Python with torch, transformers and safetensors (set SAMP_PYTHON to one)");
        return;
    };
    let bench = Bench::new();
    let reference = tiny_llama().join("reference.safetensors");
    for recipe in ["samp", "uniform:nf4", "uniform:fp4", "uniform:int4_asym", "uniform:int8", "uniform:bf16"]
    {
        let plan = bench.compile("plan", &["--recipe", recipe, "--force"]);
        let (exported, ours, theirs) = (bench.path("hf"), bench.path("ours"), bench.path("theirs"));
        ok(samp([
            "export".as_ref(),
            plan.as_os_str(),
            "--force".as_ref(),
            "-o".as_ref(),
            exported.as_os_str(),
        ]));
        let mut eval = samp(["eval", "--ids"]);
        ok({
            eval.arg(&reference).arg("--save-logits").arg(&ours).arg(&plan);
            eval
        });
        let judged = Command::new(&python)
            .args(["-c", JUDGE])
            .args([&exported, &reference, &theirs])
            .output()
            .unwrap();
        assert!(judged.status.success(), "{}", text(&judged.stderr));
        let difference = largest_difference(&ours, &theirs);
        println!("{recipe}: samp and transformers differ by {difference:.2e}");
        assert!(difference <= 1e-3, "{recipe}: {difference}");
    }
}

fn largest_difference(a: &std::path::Path, b: &std::path::Path) -> f32 {
    let read = |path| {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let data = file.tensor("logits").unwrap().data().to_vec();
        data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<f32>>()
    };
    let (a, b): (Vec<f32>, Vec<f32>) = (read(a), read(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// Exact formats come back as they were: compiling the export gives the same weights.
#[test]
fn exporting_and_compiling_again_changes_nothing() {
    let bench = Bench::new();
    let plan = bench.compile("plan", &["--recipe", "uniform:bf16"]);
    let exported = bench.path("hf");
    ok(samp(["export".as_ref(), plan.as_os_str(), "-o".as_ref(), exported.as_os_str()]));
    let again = bench.path("again");
    let mut compile = samp(["compile", "--quiet", "--recipe", "uniform:bf16", "-o"]);
    ok({
        compile.arg(&again).arg(&exported);
        compile
    });
    let out = ok(samp(["diff".as_ref(), plan.as_os_str(), again.as_os_str()]));
    assert!(out.contains("decide the same"), "{out}");
    for name in ["weights-00001-of-00001.safetensors", "golden.json"] {
        assert_eq!(
            std::fs::read(plan.join(name)).unwrap(),
            std::fs::read(again.join(name)).unwrap(),
            "{name}"
        );
    }
}
