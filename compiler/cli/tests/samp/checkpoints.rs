//! Every kind of checkpoint that import claims to read, against the logits that transformers gives for it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use safetensors::{Dtype, SafeTensors};
use samp_abi::{Format, plan::Model};
use samp_compiler::import::import_config;
use samp_runtime::DeviceKind;

use crate::{
    harness::{Harness, fails, files, ok, output, root, samp, text},
    logits::{argmax, in_chunks, largest_difference, reference, saved_logits},
};

/// The checkpoint that is served with a context longer than it was trained for.
const LONGER: &str = "rope-dynamic-long";
/// Checkpoints whose frequencies follow the context, with those that their logits are of.
const CONTEXTS: [(&str, &str); 2] = [(LONGER, "48"), ("phi3-longrope-short", "16")];

/// Every small checkpoint, by name.
fn checkpoints() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("testdata/checkpoints")).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 33, "only {} checkpoints were found", folders.len());
    folders
}

fn checkpoint(name: &str) -> PathBuf {
    root().join("testdata/checkpoints").join(name)
}

fn name(model: &Path) -> &str {
    model.file_name().unwrap().to_str().unwrap()
}

/// The command that compiles `model` as the checkpoint called `of` is to be compiled.
fn compiling(harness: &Harness, of: &Path, model: &Path, plan: &str, recipe: &str) -> Command {
    let mut args = vec!["--force", "--recipe", recipe];
    if let Some((_, context)) = CONTEXTS.iter().find(|(checkpoint, _)| *checkpoint == name(of)) {
        args.extend(["--max-model-len", context]);
    }
    harness.compiling_model(model, plan, &args)
}

fn compile(harness: &Harness, model: &Path, recipe: &str) -> PathBuf {
    ok(compiling(harness, model, model, "plan", recipe));
    harness.path("plan")
}

/// The same, whose kernels round no inputs.
fn compile_exactly(harness: &Harness, model: &Path, recipe: &str) -> PathBuf {
    let mut command = compiling(harness, model, model, "exact", recipe);
    command.arg("--exact");
    ok(command);
    harness.path("exact")
}

fn validate(plan: &Path) {
    let shown = ok(samp(["validate".as_ref(), plan.as_os_str()]));
    assert!(shown.ends_with(": valid\n"), "{shown}");
}

fn export(harness: &Harness, plan: &Path) -> PathBuf {
    let out = harness.path("exported");
    let command =
        ["export".as_ref(), "--quiet".as_ref(), "--force".as_ref(), plan.as_os_str(), "-o".as_ref()];
    let mut command = samp(command);
    command.arg(&out);
    ok(command);
    out
}

#[test]
fn unquantized_plans_equal_transformers_on_both_devices() {
    let harness = Harness::new();
    for model in checkpoints() {
        let expected = reference(&model);
        let vocab = expected.logits.len() / expected.ids.iter().map(Vec::len).sum::<usize>();
        let plan = compile(&harness, &model, "uniform:f32");
        for device in ["cpu", "reference"] {
            let found = saved_logits(&harness, &plan, device, &model);
            let difference = largest_difference(&found, &expected.logits);
            println!("{} on {device}: largest difference {difference:.2e}", name(&model));
            assert!(difference <= 1e-4, "{} on {device}: {difference}", name(&model));
            for (found, expected) in found.chunks_exact(vocab).zip(expected.logits.chunks_exact(vocab)) {
                assert_eq!(argmax(found), argmax(expected), "{} on {device}", name(&model));
            }
        }
    }
}

/// Windows and scaled frequencies hold across the steps of a sequence as they do within one.
#[test]
fn steps_of_any_size_equal_transformers() {
    let harness = Harness::new();
    let named = [
        "mistral-window",
        "mistral-window-1",
        "mistral-full",
        LONGER,
        "all-biases",
        "qwen2-window",
        "qwen3-odd",
        "phi3-longrope",
        "smollm3-window",
        "granite-odd",
    ];
    for model in named.map(checkpoint) {
        let expected = reference(&model);
        let plan = compile(&harness, &model, "uniform:f32");
        let logits = expected.logits.chunks_exact(expected.logits.len() / expected.ids.len());
        for (ids, expected) in expected.ids.iter().zip(logits) {
            for device in [DeviceKind::Cpu, DeviceKind::Reference] {
                for sizes in [&[1][..], &[5, 1], &[17]] {
                    let difference = largest_difference(&in_chunks(&plan, device, ids, sizes), expected);
                    assert!(difference <= 1e-4, "{} on {device} by {sizes:?}: {difference}", name(&model));
                }
            }
        }
    }
}

/// Every tensor as f32, by name.
fn weights(model: &Path) -> BTreeMap<String, Vec<f32>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(model).unwrap() {
        let path = entry.unwrap().path();
        let is_shard =
            path.extension().is_some_and(|e| e == "safetensors") && name(&path).starts_with("model");
        if !is_shard {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for (name, tensor) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            assert!(found.insert(name, widened(tensor.dtype(), tensor.data())).is_none());
        }
    }
    found
}

fn widened(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes(b.try_into().unwrap()));
    match dtype {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::F16 => halves().map(|bits| half::f16::from_bits(bits).to_f32()).collect(),
        Dtype::BF16 => halves().map(|bits| half::bf16::from_bits(bits).to_f32()).collect(),
        other => panic!("a weight in {other:?}"),
    }
}

#[test]
fn unquantized_plans_are_valid_and_export_what_was_stored() {
    let harness = Harness::new();
    for model in checkpoints() {
        let plan = compile(&harness, &model, "uniform:f32");
        validate(&plan);
        let logits = saved_logits(&harness, &plan, "cpu", &model);
        let exported = export(&harness, &plan);
        let mut stored = weights(&model);
        if config(&model).tied_embeddings {
            stored.remove("lm_head.weight");
        }
        // What logits are divided by is taken up by the last norm.
        let config = import_config(&model.join("config.json")).unwrap();
        for weight in stored.get_mut("model.norm.weight").unwrap() {
            *weight *= config.final_norm_scale as f32;
        }
        assert!(weights(&exported) == stored, "{}: the export holds other weights", name(&model));
        ok(compiling(&harness, &model, &exported, "again", "uniform:f32"));
        let again = harness.path("again");
        validate(&again);
        assert!(saved_logits(&harness, &again, "cpu", &model) == logits, "{}", name(&model));
    }
}

fn config(model: &Path) -> Model {
    import_config(&model.join("config.json")).unwrap().model
}

/// Whether the inputs of all linears that a recipe quantizes are whole blocks of its format.
fn fits(model: &Model, recipe: &str) -> bool {
    let attention = [model.hidden_size, model.heads * model.head_dim];
    let mlp = [model.hidden_size, model.intermediate_size];
    let whole = |widths: &[u64], format: &str| {
        let multiple = format.parse::<Format>().unwrap().column_multiple();
        widths.iter().all(|width| width.is_multiple_of(multiple))
    };
    match recipe.strip_prefix("uniform:") {
        Some(format) => whole(&attention, format) && whole(&mlp, format),
        None => whole(&mlp, "nf4"),
    }
}

#[test]
fn quantized_plans_are_valid_and_alike_on_both_devices() {
    let harness = Harness::new();
    let (mut made, mut replaced) = (0, 0);
    for model in checkpoints() {
        for recipe in ["samp", "uniform:nf4", "uniform:int4_g64", "uniform:int8"] {
            let shown = format!("{} as {recipe}", name(&model));
            if !fits(&config(&model), recipe) {
                let warned = output(compiling(&harness, &model, &model, "replaced", recipe));
                let warned = text(&warned.stderr);
                for part in ["warning[E0406]", "`layers.0.", " input channels): int8 for "] {
                    assert!(warned.contains(part), "{shown}: no {part}: {warned}");
                }
                replaced += 1;
            }
            let rounding = compile(&harness, &model, recipe);
            let exact = compile_exactly(&harness, &model, recipe);
            // Kernels that round inputs differ by no more than a golden probe allows, relative to the largest logit.
            for (plan, absolute, relative) in [(exact, 1e-3, 0.0), (rounding, 0.0, 4e-3)] {
                validate(&plan);
                let [cpu, plain] = ["cpu", "reference"].map(|d| saved_logits(&harness, &plan, d, &model));
                let largest = plain.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
                let difference = largest_difference(&cpu, &plain);
                let most = absolute + relative * largest;
                assert!(
                    difference <= most,
                    "{shown}: cpu and reference differ by {difference}, of {largest}"
                );
            }
            made += 1;
        }
    }
    assert!(made > 60 && replaced > 5, "{made} made, {replaced} with other formats");
}

/// What a quantized plan computes with is what its export holds.
#[test]
fn quantized_exports_compile_to_the_same_logits() {
    let harness = Harness::new();
    for (model, recipe) in [
        ("all-biases", "samp"),
        ("tied", "uniform:nf4"),
        ("tied-odd", "uniform:int8"),
        ("odd-sizes", "uniform:fp8_e4m3"),
        ("mixed-types", "uniform:fp4"),
        ("mistral-window", "uniform:int4_g64"),
    ] {
        let model = checkpoint(model);
        let plan = compile_exactly(&harness, &model, recipe);
        ok(compiling(&harness, &model, &export(&harness, &plan), "again", "uniform:f32"));
        let [plan, again] = [plan, harness.path("again")].map(|p| saved_logits(&harness, &p, "cpu", &model));
        let difference = largest_difference(&plan, &again);
        println!("{} as {recipe}: its export differs by {difference:.2e}", name(&model));
        assert!(difference <= 1e-3, "{} as {recipe}: {difference}", name(&model));
    }
}

/// Under dynamic scaling the frequencies depend on the context; whoever reads the export meets the plan's.
#[test]
fn an_export_of_a_longer_context_holds_the_frequencies_of_the_plan() {
    let harness = Harness::new();
    let model = checkpoint(LONGER);
    let plan = compile(&harness, &model, "uniform:f32");
    let exported = export(&harness, &plan);
    let text = std::fs::read_to_string(exported.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["max_position_embeddings"], 48);
    assert!(config["rope_scaling"].is_null() && config["rope_theta"].as_f64().unwrap() > 30_000.0, "{text}");
    ok(harness.compiling_model(&exported, "again", &["--recipe", "uniform:f32"]));
    let [plan, again] = [plan, harness.path("again")].map(|p| saved_logits(&harness, &p, "cpu", &model));
    assert!(plan == again, "the export gives other logits");
}

/// A copy of a checkpoint with a tokenizer of three words beside it.
fn with_tokenizer(harness: &Harness, model: &Path) -> PathBuf {
    let copy = harness.path("with-tokenizer");
    std::fs::create_dir(&copy).unwrap();
    for (name, bytes) in files(model) {
        std::fs::write(copy.join(name), bytes).unwrap();
    }
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [],
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "model": { "type": "WordLevel", "vocab": { "one": 3, "two": 4, "many": 95 }, "unk_token": "many" },
    });
    std::fs::write(copy.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    copy
}

/// The baseline is compiled for the plan's context, so that it is the same model.
#[test]
fn a_checkpoint_is_compared_at_the_context_of_the_plan() {
    let harness = Harness::new();
    let model = with_tokenizer(&harness, &checkpoint(LONGER));
    let data = harness.path("data.jsonl");
    std::fs::write(&data, format!("{{\"text\": \"{}\"}}\n", "one two three four ".repeat(15))).unwrap();
    for (context, tokens) in [("48", 47), ("30", 29), ("12", 11)] {
        ok(harness.compiling_model(
            &model,
            "plan",
            &["--force", "--recipe", "uniform:f32", "--max-model-len", context],
        ));
        let mut command = samp(["eval", "--json", "--data"]);
        command.arg(&data).arg("--against").arg(&model).arg(harness.path("plan"));
        let report: serde_json::Value = serde_json::from_str(&ok(command)).unwrap();
        let overall = &report["overall"];
        assert_eq!(overall["kl_nats"]["mean"], 0.0, "{report}");
        assert_eq!((&overall["tokens"], &overall["truncated"]), (&tokens.into(), &1.into()), "{report}");
    }
    let mut command = samp(["eval", "--data"]);
    command.arg(&data).arg(harness.path("plan"));
    let shown = ok(command);
    assert!(shown.ends_with("Texts cut to their first 12 tokens: 1.\n"), "{shown}");
}

#[test]
fn a_plan_without_a_tokenizer_takes_ids_only_and_says_so() {
    let harness = Harness::new();
    let plan = compile(&harness, &checkpoint("llama-mha"), "uniform:f16");
    for args in [&["run", "-p", "Hello"][..], &["run", "--chat", "Hello"], &["run"], &["eval", "--data"]] {
        let mut command = samp(args);
        if args[0] == "eval" {
            command.arg(root().join("testdata/data/eval.jsonl"));
        }
        command.arg(&plan).stdin(Stdio::null());
        let (_, message) = fails(2, command);
        assert!(
            message.contains("error[E1430]: ") && message.contains("no tokenizer.json"),
            "{args:?}: {message}"
        );
    }
}
