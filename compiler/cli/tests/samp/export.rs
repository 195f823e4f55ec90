//! An exported plan, judged by transformers.

use std::{ops::ControlFlow, path::Path, process::Command};

use safetensors::SafeTensors;
use samp_compiler::{
    emit::EmitError,
    export::{ExportOptions, export},
};
use samp_runtime::Progress;

use crate::harness::{Harness, files, ok, root, samp, text};

/// For each three arguments: runs the checkpoint that the first names in f32 on the `input_ids` of the second, and writes
/// the logits to the third.
const JUDGE: &str = r#"
import sys, torch, transformers
from safetensors.torch import load_file, save_file
arguments = iter(sys.argv[1:])
for checkpoint, ids, out in zip(arguments, arguments, arguments):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        logits = model(load_file(ids)["input_ids"]).logits
    save_file({"logits": logits.contiguous()}, out)
"#;

/// A Python with these modules: `SAMP_PYTHON`, or the one on the PATH.
pub fn python_with(modules: &str) -> Option<String> {
    let candidates = std::env::var("SAMP_PYTHON").into_iter().chain(["python3".into()]);
    let works = |python: &String| {
        let probe = Command::new(python).args(["-c", &format!("import {modules}")]).output();
        probe.is_ok_and(|out| out.status.success())
    };
    candidates.into_iter().find(works)
}

/// What is exported and judged: a checkpoint, its recipe, and the context that it is compiled for.
const EXPORTED: [(&str, &str, Option<&str>); 20] = [
    ("models/tiny-llama", "samp", None),
    ("checkpoints/qwen2-window", "uniform:int8", None),
    ("checkpoints/qwen3", "uniform:int4_g64", None),
    ("checkpoints/phi3", "samp", None),
    ("checkpoints/phi3-longrope-short", "uniform:bf16", Some("16")),
    ("checkpoints/granite", "uniform:int8", None),
    ("checkpoints/smollm3", "uniform:fp8_e4m3_tensor", None),
    ("models/tiny-llama", "uniform:nf4", None),
    ("models/tiny-llama", "uniform:fp4", None),
    ("models/tiny-llama", "uniform:int4_asym", None),
    ("models/tiny-llama", "uniform:int8", None),
    ("models/tiny-llama", "uniform:bf16", None),
    ("checkpoints/tied", "uniform:fp8_e4m3_tensor", None),
    ("checkpoints/tied", "uniform:int4_g64", None),
    ("checkpoints/tied-odd", "uniform:fp8_e4m3_tensor", None),
    ("checkpoints/all-biases", "uniform:fp8_e4m3_tensor", None),
    ("checkpoints/all-biases", "uniform:int4_g64", None),
    ("checkpoints/mistral-window", "uniform:fp8_e4m3_tensor", None),
    ("checkpoints/mistral-window", "uniform:int4_g64", None),
    // Longer than trained for, under dynamic rotary scaling; transformers would take the frequencies of the 48 tokens read.
    ("checkpoints/rope-dynamic-long", "uniform:f32", Some("64")),
];

#[test]
fn transformers_gives_the_logits_of_the_plan() {
    let Some(python) = python_with("torch, transformers, safetensors") else {
        println!("SKIPPED: no Python with torch, transformers and safetensors (set SAMP_PYTHON to one)");
        return;
    };
    let harness = Harness::new();
    let mut judged = vec![];
    for (index, (model, recipe, context)) in EXPORTED.into_iter().enumerate() {
        let model = root().join("testdata").join(model);
        let mut args = vec!["--force", "--exact", "--recipe", recipe];
        args.extend(context.into_iter().flat_map(|context| ["--max-model-len", context]));
        ok(harness.compiling_model(&model, "plan", &args));
        let (plan, exported) = (harness.path("plan"), harness.path(&format!("{index}.hf")));
        let mut export = samp(["export", "--quiet", "-o"]);
        export.arg(&exported).arg(&plan);
        ok(export);
        let (ours, theirs) =
            (harness.path(&format!("{index}.ours")), harness.path(&format!("{index}.theirs")));
        let reference = model.join("reference.safetensors");
        let mut eval = samp(["eval", "--ids"]);
        eval.arg(&reference).arg("--save-logits").arg(&ours).arg(&plan);
        ok(eval);
        judged.push([exported, reference, ours, theirs]);
    }
    let questions = judged.iter().flat_map(|[exported, reference, _, theirs]| [exported, reference, theirs]);
    let answered = Command::new(&python).args(["-c", JUDGE]).args(questions).output().unwrap();
    assert!(answered.status.success(), "{}", text(&answered.stderr));
    for ((model, recipe, _), [_, _, ours, theirs]) in EXPORTED.into_iter().zip(&judged) {
        let difference = largest_difference(ours, theirs);
        println!("{model} as {recipe}: samp and transformers differ by {difference:.2e}");
        assert!(difference <= 1e-3, "{model} as {recipe}: {difference}");
    }
}

fn largest_difference(a: &Path, b: &Path) -> f32 {
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
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:bf16"]);
    let exported = harness.path("hf");
    ok(samp(["export".as_ref(), plan.as_os_str(), "-o".as_ref(), exported.as_os_str()]));
    let again = harness.path("again");
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

#[test]
fn json_says_what_was_exported() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:bf16"]);
    let exported = harness.path("hf");
    let mut command = samp(["export", "--json", "-o"]);
    command.arg(&exported).arg(&plan);
    let report: serde_json::Value = serde_json::from_str(&ok(command)).unwrap();
    let written = files(&exported);
    assert_eq!(report["folder"], exported.to_str().unwrap());
    assert_eq!(report["files"], written.len());
    assert_eq!(report["bytes"], written.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
}

/// Removes the unfinished folder, so that it cannot be discarded, and stops.
struct Sweeping<'a>(&'a Path);

impl Progress for Sweeping<'_> {
    fn advance(&self, _: &str, _: u64) -> ControlFlow<()> {
        std::fs::remove_dir_all(self.0).unwrap();
        ControlFlow::Break(())
    }
}

#[test]
fn what_cannot_be_removed_does_not_hide_why_nothing_was_exported() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:bf16"]);
    let (out, unfinished) = (harness.path("hf"), harness.path(".hf.partial"));
    let error = export(&plan, &ExportOptions::new(&out, false, &Sweeping(&unfinished))).unwrap_err();
    assert!(matches!(error, EmitError::Interrupted), "{error}");
}
