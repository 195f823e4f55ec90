//! Plans exported to other stacks: every value comes back, by samp's own import and by the stacks' own libraries.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::{
    export::python_with,
    harness::{Harness, fails, ok, output, samp, text, tiny_llama},
    logits::{Reference, largest_difference},
};

/// Formats of the projections of one layer, in an order of its own.
const PROJECTIONS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// A recipe of one format for each projection, embedding and head in f16.
fn recipe(harness: &Harness, formats: [&str; 7]) -> PathBuf {
    let path = harness.path(&format!("{}.toml", formats.join("-")));
    let mut toml = "name = \"each\"\n[[rule]]\nmatch = \"*\"\nformat = \"f16\"\n".to_owned();
    for (projection, format) in PROJECTIONS.into_iter().zip(formats) {
        toml += &format!("[[rule]]\nmatch = \"*.{projection}\"\nformat = \"{format}\"\n");
    }
    std::fs::write(&path, toml).unwrap();
    path
}

/// The shipped checkpoint with one format for each projection.
pub fn compile(harness: &Harness, formats: [&str; 7]) -> PathBuf {
    let recipe = recipe(harness, formats);
    harness.compile("plan", &["--force", "--exact", "--recipe", recipe.to_str().unwrap()])
}

pub fn exporting(plan: &Path, out: &Path, args: &[&str]) -> Command {
    let mut command = samp(["export", "--quiet", "--force", "-o"]);
    command.arg(out).arg(plan).args(args);
    command
}

/// Every weight that a plan computes with, by its name in the checkpoint. A zero has no sign.
fn values(harness: &Harness, plan: &Path) -> BTreeMap<String, Vec<u32>> {
    let out = harness.path("plain");
    ok(exporting(plan, &out, &[]));
    let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let bits = |bytes: &[u8; 4]| (f32::from_le_bytes(*bytes) + 0.0).to_bits();
    let tensors = file.tensors().into_iter();
    tensors.map(|(name, view)| (name, view.data().as_chunks().0.iter().map(bits).collect())).collect()
}

/// Fails unless both plans compute with the same weights.
fn assert_same_values(harness: &Harness, plan: &Path, other: &Path) {
    let (expected, found) = (values(harness, plan), values(harness, other));
    assert!(expected.keys().eq(found.keys()), "{:?}", found.keys());
    for (name, expected) in &expected {
        let differing = expected.iter().zip(&found[name]).filter(|(a, b)| a != b).count();
        assert_eq!((differing, found[name].len()), (0, expected.len()), "{name}");
    }
}

/// The formats of a plan's linears, by the projections that lie in them.
fn formats(plan: &Path) -> BTreeMap<String, String> {
    let opened = samp_runtime::open(plan).unwrap();
    let tensors = opened.manifest().tensors.iter();
    let named = tensors.flat_map(|tensor| {
        tensor.sources.iter().map(|source| (source.name.clone(), tensor.format.to_string()))
    });
    named.collect()
}

/// Compiles an export again, as it is and decoded, and fails unless all has its values.
pub fn assert_round_trip(harness: &Harness, plan: &Path, exported: &Path, kept: bool) {
    let decoded = ["--force", "--requantize", "--recipe", "uniform:f32"];
    ok(harness.compiling_model(exported, "again", &decoded));
    assert_same_values(harness, plan, &harness.path("again"));
    if kept {
        ok(harness.compiling_model(exported, "again", &["--force"]));
        assert_same_values(harness, plan, &harness.path("again"));
        assert_eq!(formats(plan), formats(&harness.path("again")));
    }
}

#[test]
fn compressed_tensors_come_back_with_every_value() {
    let harness = Harness::new();
    let out = harness.path("exported");
    for (formats, kept) in [
        (["int4", "int4", "int4", "fp8_e4m3", "int4_g64", "int4_g64", "int4_asym"], true),
        (["fp8_e4m3", "int8", "bf16", "int4_g64_asym", "int8", "f16", "int8"], true),
        (["int5", "int6", "f32", "int6_g64", "int5_g64", "int5", "fp8_e4m3_tensor"], false),
    ] {
        let plan = compile(&harness, formats);
        ok(exporting(&plan, &out, &["--format", "compressed-tensors"]));
        assert_round_trip(&harness, &plan, &out, kept);
    }
}

#[test]
fn what_a_stack_cannot_hold_is_refused_until_rounding_is_allowed() {
    let harness = Harness::new();
    let plan = compile(&harness, ["int4", "int4", "int4", "nf4", "int8", "int8", "fp4"]);
    let out = harness.path("exported");
    let format = ["--format", "compressed-tensors"];
    let (stdout, said) = fails(1, exporting(&plan, &out, &format));
    assert!(stdout.is_empty() && !out.exists());
    assert!(said.contains("error[E0727]") && said.contains("12 of 57"), "{said}");
    assert!(said.contains("`model.layers.{0..5}.self_attn.o_proj.weight` in nf4: "), "{said}");
    assert!(said.contains("--allow-rounding"), "{said}");

    let command = exporting(&plan, &out, &[&format[..], &["--allow-rounding", "--json"]].concat());
    let report: Value = serde_json::from_str(&ok(command)).unwrap();
    for tensor in report["tensors"].as_array().unwrap() {
        let error = tensor["largest_relative_error"].as_f64().unwrap();
        let rounded = ["nf4", "fp4"].iter().any(|format| tensor["formats"][0] == *format);
        assert_eq!(rounded, error > 0.0, "{tensor}");
        // Values of tables times an absmax need not lie near the smallest of f16.
        assert!(error < 1e-2 && rounded == tensor["rounded"].is_string(), "{tensor}");
    }
    let description: Value =
        serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(description["torch_dtype"], "float16");
    let ignored = description["quantization_config"]["ignore"].as_array().unwrap();
    assert_eq!(ignored, &[r"re:.*\.mlp\.down_proj$", r"re:.*\.self_attn\.o_proj$", "lm_head"]);
}

#[test]
fn vllm_is_said_not_to_take_members_of_several_schemes() {
    let harness = Harness::new();
    let plan = compile(&harness, ["int4", "int8", "int4", "int4", "int4", "int4", "int4"]);
    let command = exporting(&plan, &harness.path("exported"), &["--format", "compressed-tensors"]);
    let out = output(command);
    assert!(out.status.success());
    assert!(text(&out.stderr).contains("note: vLLM computes queries, keys and values as one"));
    assert!(text(&out.stderr).contains("layers 0, 1, 2, 3, 4, 5"), "{}", text(&out.stderr));
    let table = text(&out.stdout);
    let line = table.lines().find(|line| line.contains("{0..5}.self_attn.k_proj")).unwrap();
    assert!(line.contains("pack-quantized, 8 bits, a scale for each row  exact"), "{table}");
}

#[test]
fn plain_checkpoints_in_16_bits_say_by_how_much_they_round() {
    let harness = Harness::new();
    let plan = compile(&harness, ["nf4"; 7]);
    let out = harness.path("exported");
    let exact = values(&harness, &plan);
    for (dtype, torch, bits) in [("f16", "float16", 11), ("bf16", "bfloat16", 8)] {
        let command = exporting(&plan, &out, &["--dtype", dtype, "--json"]);
        let report: Value = serde_json::from_str(&ok(command)).unwrap();
        let named = |name: &str| {
            let tensors = report["tensors"].as_array().unwrap();
            tensors.iter().find(|tensor| tensor["name"] == name).unwrap().clone()
        };
        let error = |name: &str| named(name)["largest_relative_error"].as_f64().unwrap();
        let most = 0.5f64.powi(bits);
        let up = "model.layers.3.mlp.up_proj.weight";
        assert!(error(up) > most / 2.0 && error(up) <= most, "{dtype}: {}", error(up));
        assert!(dtype != "f16" || error("lm_head.weight") == 0.0);
        let config: Value = serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["torch_dtype"], torch);
        // What was written is as far off as was said, and no further.
        ok(harness.compiling_model(&out, "again", &["--force", "--recipe", "uniform:f32"]));
        let found = values(&harness, &harness.path("again"));
        let pairs = exact[up].iter().zip(&found[up]).map(|(a, b)| (f32::from_bits(*a), f32::from_bits(*b)));
        let farthest = pairs.filter(|(a, _)| *a != 0.0).map(|(a, b)| f64::from(b - a) / f64::from(a));
        let farthest = farthest.fold(0.0, |most: f64, error| most.max(error.abs()));
        assert!((farthest / error(up) - 1.0).abs() < 1e-6, "{farthest} and {}", error(up));
    }
    let (_, said) = fails(2, exporting(&plan, &out, &["--format", "compressed-tensors", "--dtype", "f16"]));
    assert!(said.contains("--dtype with --format hf alone"), "{said}");
}

/// Has compressed-tensors decompress every linear of the checkpoint that the first argument names, the scales in f32, and
/// compares all values with those of the plain one that the second names. Says how many there were.
const DECOMPRESSED: &str = r#"
import json, sys, torch, transformers
from compressed_tensors.compressors.base import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig
from compressed_tensors.utils import match_named_modules
from safetensors.torch import load_file
checkpoint, plain = sys.argv[1:]
stored, expected = (load_file(folder + "/model.safetensors") for folder in (checkpoint, plain))
config = QuantizationConfig.model_validate(json.load(open(checkpoint + "/config.json"))["quantization_config"])
with torch.device("meta"):
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(checkpoint))
seen, values = set(), 0
def compare(name, found):
    global values
    want = expected[name + ".weight"]
    differing = int((found.float() != want).sum())
    assert found.shape == want.shape and differing == 0, f"{name}: {differing} of {want.numel()} values differ"
    assert name not in seen, name
    seen.add(name)
    values += want.numel()
for group in config.config_groups.values():
    format = group.format or config.format
    compressor = BaseCompressor.get_value_from_registry(getattr(format, "value", format))
    for name, _ in match_named_modules(model, group.targets, config.ignore):
        parts = {key[len(name) + 1:]: value for key, value in stored.items() if key.startswith(name + ".")}
        parts["weight_scale"] = parts["weight_scale"].float()
        compare(name, compressor.decompress(parts, group)["weight"])
for name, module in model.named_modules():
    if isinstance(module, torch.nn.Linear) and name not in seen:
        compare(name, stored[name + ".weight"])
print(values)
"#;

/// Loads the checkpoint that the first argument names, and writes the logits of the ids in the second to the third.
const LOADED: &str = r#"
import sys, torch, transformers
from safetensors.torch import load_file, save_file
checkpoint, ids, out = sys.argv[1:]
model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager")
ids = load_file(ids)["input_ids"]
with torch.no_grad():
    save_file({"logits": model(ids).logits.contiguous(), "input_ids": ids}, out)
"#;

/// Runs a script of Python, and gives what it prints.
pub fn ran(python: &str, script: &str, paths: &[&Path]) -> String {
    let out = Command::new(python).args(["-c", script]).args(paths).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout).trim().to_owned()
}

/// The weights of all linears of the shipped checkpoint.
const LINEAR_VALUES: &str = "6160384";

#[test]
fn transformers_reads_compressed_tensors_with_every_value() {
    let Some(python) = python_with("torch, transformers, compressed_tensors, safetensors") else {
        return println!(
            "SKIPPED: no Python with torch, transformers and compressed-tensors (set SAMP_PYTHON)"
        );
    };
    let harness = Harness::new();
    let reference = tiny_llama().join("reference.safetensors");
    for (formats, loads) in [
        (["fp8_e4m3", "fp8_e4m3", "fp8_e4m3", "fp8_e4m3", "int4", "int4", "int4"], true),
        (["int8", "int8", "int8", "int4_g64", "int5", "int5", "fp8_e4m3_tensor"], true),
        (["int6_g64", "int6_g64", "int6_g64", "int6", "int5_g64", "int5_g64", "f16"], true),
        // transformers 5.24 makes room for zero points as if they were not packed, of llm-compressor's checkpoints, too.
        (["int4_asym", "int4_asym", "int4_asym", "f32", "int4_g64_asym", "int4_g64_asym", "bf16"], false),
    ] {
        let plan = compile(&harness, formats);
        let (out, plain) = (harness.path("exported"), harness.path("plain"));
        ok(exporting(&plan, &out, &["--format", "compressed-tensors"]));
        ok(exporting(&plan, &plain, &[]));
        assert_eq!(ran(&python, DECOMPRESSED, &[&out, &plain]), LINEAR_VALUES, "{formats:?}");
        if loads {
            let (ours, theirs) = (harness.path("ours"), harness.path("theirs"));
            let mut eval = samp(["eval", "--ids"]);
            eval.arg(&reference).arg("--save-logits").arg(&ours).arg(&plan);
            ok(eval);
            ran(&python, LOADED, &[&out, &reference, &theirs]);
            let [ours, theirs] = [&ours, &theirs].map(|file| {
                let logits = Reference::read(file).logits;
                std::fs::remove_file(file).unwrap();
                logits
            });
            let difference = largest_difference(&ours, &theirs);
            println!("{formats:?}: the logits of samp and transformers differ by {difference:.2e}");
            assert!(difference <= 1e-3, "{formats:?}: {difference}");
        }
    }
}
