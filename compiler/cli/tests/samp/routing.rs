//! Formats decided from measurements, end to end.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use samp_abi::{Format, TargetName};
use samp_compiler::{
    lower::{LowerOptions, Measurements, ModelSource, PlanSpec, lower_to_spec, recipe::LoadedRecipe},
    quantize::{BaselineWeights, EqualizationScales, Forward, State, TokenBatch},
};
use samp_passes::{QuantOptions, Rounding, recipe::Recipe, transform::Transform};
use serde_json::{Value, json};

use crate::{
    harness::{Draws, Harness, assert_same, fails, files, ok, output, root, samp, text, tiny_llama},
    logits::{largest_difference, reference, saved_logits},
    outlier_checkpoint::write_outlier_checkpoint,
};

/// The f32 program of a checkpoint after some transforms, and its logits.
fn logits(model: &Path, quality: QuantOptions, ids: &[Vec<u32>]) -> (PlanSpec, Vec<f32>) {
    let source = ModelSource::open(model).unwrap();
    let recipe = Recipe::uniform(Format::F32);
    let recipe = LoadedRecipe { source: recipe.name.clone(), recipe };
    let options =
        LowerOptions { quality, kv: Some(Format::F32), ..LowerOptions::new(TargetName::Cpu, recipe) };
    let spec = lower_to_spec(&source, &options, &Measurements::default()).unwrap();
    let import = source.import().unwrap();
    let equalization = EqualizationScales::by_rms(&spec, &import.checkpoint).unwrap();
    let weights =
        BaselineWeights::load(&spec, &import.checkpoint, &equalization, &std::env::temp_dir()).unwrap();
    let mut forward = Forward::new(&spec, weights).unwrap();
    let batches = TokenBatch::pack(ids, spec.limits.max_tokens as usize, spec.kv.page_tokens as usize);
    let all = batches.iter().flat_map(|b| forward.logits(b, &State::default()).to_vec()).collect();
    (spec, all)
}

/// Folding, equalizing and rotating change weights, by orders of magnitude in the outlier checkpoint, and no logit by more than 1e-4.
/// Where the embedding is tied nothing rotates.
#[test]
fn quality_passes_keep_the_function() {
    let harness = Harness::new();
    let outliers = harness.path("outliers");
    write_outlier_checkpoint(&outliers);
    let checkpoints = [
        "all-biases",
        "gqa-head-dim",
        "llama-mha",
        "tied",
        "odd-sizes",
        "qwen3-odd",
        "phi3",
        "granite-odd",
        "smollm3-window",
        "ministral",
    ];
    let mut models: Vec<_> = checkpoints.map(|name| root().join("testdata/checkpoints").join(name)).into();
    let tiny = tiny_llama();
    models.extend([tiny.clone(), outliers]);
    let equalized = QuantOptions { correct: false, rounding: Rounding::Nearest, ..QuantOptions::ALL };
    let both = QuantOptions { rotate: Some(7), ..equalized };
    let rotated = QuantOptions { equalize: false, ..both };
    for model in &models {
        let own = model.join("reference.safetensors").is_file();
        let ids = reference(if own { model } else { &tiny }).ids;
        let (plain, before) = logits(model, QuantOptions::NONE, &ids);
        for (done, quality) in
            [("equalizing", equalized), ("rotating", rotated), ("equalizing, then rotating", both)]
        {
            let (changed, after) = logits(model, quality, &ids);
            let transformed = changed.tensors.iter().filter(|t| t.transforms.len() > 1).count();
            let turns =
                changed.tensors[0].transforms.iter().any(|t| matches!(t, Transform::RotateColumns(_)));
            let tied = model.file_name().is_some_and(|name| name == "tied");
            assert_eq!(turns, quality.rotate.is_some() && !tied, "{}", model.display());
            if quality.rotate.is_some() && tied {
                println!("{}: nothing rotates, the embedding is tied", model.display());
            } else {
                assert!(transformed as u64 >= 2 * plain.model.layers, "{}: {transformed}", model.display());
            }
            let difference = largest_difference(&before, &after);
            println!("{}: folding and {done} move the logits by {difference:.1e}", model.display());
            assert!(difference <= 1e-4, "{}: {difference}", model.display());
        }
    }
}

/// What each quality pass did to the outlier checkpoint, whose channels are uneven by design: equalizing them helps most before rounding,
/// and GPTQ more than the search for scales.
#[test]
fn explained_passes_say_what_they_did() {
    let harness = Harness::new();
    let outliers = harness.path("outliers");
    write_outlier_checkpoint(&outliers);
    let explained = |name: &str, formats: &str| {
        let quality = format!("fold,equalize,correct,{name}");
        let args = ["--max-bits", "5", "--formats", formats, "--quality", &quality, "--explain", "--json"];
        let mut command = harness.compiling_model(&outliers, name, &args);
        command.args(["--calib-tokens", "1200", "--record-tokens", "48", "--calib"]).arg(data());
        let report: Value = serde_json::from_str(&ok(command)).unwrap();
        let passes = report["plans"][0]["explain"]["passes"].as_array().unwrap();
        let effects: Vec<Value> = passes.iter().filter_map(|pass| pass.get("effect").cloned()).collect();
        assert_eq!(certificate(&harness.path(name))["quality"]["effects"], json!(effects));
        ["fold_norms", "equalize", "correct_weights", "round_weights"].map(|pass| {
            let effect =
                effects.iter().find(|effect| effect["pass"] == pass).unwrap_or_else(|| panic!("{pass}"));
            let (mean, moved) = (effect["error"]["mean"].as_f64().unwrap(), effect["logit_change"].as_f64());
            println!("{name}: {pass} × {mean:.3} {moved:?}");
            assert_eq!(moved.is_some(), ["fold_norms", "equalize"].contains(&pass));
            assert!(moved.is_none_or(|most| most > 0.0 && most <= 1e-4), "{effect}");
            mean
        })
    };
    let [_, even, correct, gptq] = explained("gptq", "nf4,f16");
    assert!(even < 0.9 && correct < 1.0 && gptq < 0.9);
    let [_, _, _, refine] = explained("refine", "nf4,f16");
    assert!(refine < 1.0 && gptq < refine);
}

/// `samp compile --calib` with little data, fast enough for a test.
pub fn routing(harness: &Harness, name: &str, calib: &Path, args: &[&str]) -> std::process::Command {
    let mut command = harness.compiling(name, &["--calib-tokens", "1200", "--record-tokens", "48"]);
    command.arg("--calib").arg(calib).args(args);
    command
}

pub fn data() -> PathBuf {
    root().join("testdata/data/eval.jsonl")
}

pub fn certificate(plan: &Path) -> Value {
    serde_json::from_slice(&fs::read(plan.join("certificate.json")).unwrap()).unwrap()
}

#[test]
fn a_routed_plan_keeps_its_limits_and_is_the_same_each_time() {
    let harness = Harness::new();
    let args = ["--max-bits", "4.8", "--formats", "nf4,int6,f16", "--exact"];
    ok(routing(&harness, "one", &data(), &args));
    ok(routing(&harness, "two", &data(), &[&args[..], &["--threads", "1"]].concat()));
    assert_same(&harness.path("one"), &harness.path("two"));
    let plan = harness.path("one");
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
    let certificate = certificate(&plan);
    assert!(certificate["decoder_linears"]["bits_per_weight"].as_f64().unwrap() <= 4.8);
    let quality = &certificate["quality"];
    let held_out = quality["held_out"]["overall"]["kl_nats"].as_f64().unwrap();
    assert!(held_out > 0.0 && held_out < 0.05, "{held_out}");
    assert!(quality["best_uniform"]["kl_nats"].as_f64().unwrap() >= held_out);
    assert!(!harness.path("one.calibration.partial").exists());
    let weights = quality["profile"]["weights"].as_array().unwrap();
    let inputs = |key: &str| &weights.iter().find(|w| w["key"] == key).unwrap()["inputs"];
    let heads = inputs("layers.0.self_attn.o_proj")["heads"].as_array().unwrap();
    assert!(heads.len() == 2 && heads.iter().all(|h| h["keys"].as_f64() > Some(0.0)), "{heads:?}");
    assert!(inputs("layers.0.mlp.down_proj")["absmax"].as_f64() > Some(0.0));
    // What other tools are given is what the plan computes.
    let exported = harness.path("exported");
    ok(samp(["export".as_ref(), plan.as_os_str(), "-o".as_ref(), exported.as_os_str()]));
    ok(harness.compiling_model(&exported, "again", &["--recipe", "uniform:f32"]));
    let logits = |plan: &Path| saved_logits(&harness, plan, "cpu", &tiny_llama());
    let difference = largest_difference(&logits(&plan), &logits(&harness.path("again")));
    assert!(difference < 1e-3, "{difference}");
    let seeded = ["--max-bits", "4.8", "--formats", "nf4,int6,f16", "--seed", "7"];
    ok(routing(&harness, "seven", &data(), &seeded));
    assert_ne!(
        fs::read(harness.path("seven").join("certificate.json")).unwrap(),
        fs::read(plan.join("certificate.json")).unwrap()
    );
}

/// The journal in a work folder with one measurement.
pub fn journal(work: &Path) -> Option<PathBuf> {
    let mut paths = fs::read_dir(work).ok()?.flatten().map(|entry| entry.path());
    paths.find(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
}

#[test]
fn a_compile_killed_while_it_measures_continues_to_the_same_plan() {
    let harness = Harness::new();
    let args =
        ["--max-bits", "5", "--formats", "nf4,int6,f16", "--quality", "fold,equalize,rotate,correct,gptq"];
    ok(routing(&harness, "whole", &data(), &args));
    let mut child = routing(&harness, "killed", &data(), &args).spawn().unwrap();
    let work = harness.path("killed.calibration.partial");
    let noted = || journal(&work).and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let lines = || noted().lines().count();
    while lines() < 5 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!harness.path("killed").exists());
    let measured = lines();
    let out = output({
        let mut command = samp(["compile", "--calib-tokens", "1200", "--record-tokens", "48", "--calib"]);
        command.arg(data()).args(args).arg(tiny_llama()).arg("-o").arg(harness.path("killed"));
        command
    });
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    let before = said.lines().find_map(|line| line.strip_suffix(" of 26 weights were measured before"));
    let before: usize = before.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    assert!(before >= measured - 3, "{said}");
    assert!(said.contains(&format!("measuring {} weights\n", 26 - before)), "{said}");
    assert_same(&harness.path("whole"), &harness.path("killed"));
}

/// The outlier checkpoint rotated instead of equalized, within the size of nf4 alone: valid, the same for the same seed, and what is
/// exported computes the same.
#[test]
fn a_rotated_plan_is_valid_seeded_and_exported_right() {
    let harness = Harness::new();
    let outliers = harness.path("outliers");
    write_outlier_checkpoint(&outliers);
    let passes =
        ["--quality", "fold,rotate,correct,gptq", "--max-bits", "4.13", "--formats", "nf4,f16", "--exact"];
    let compile = |name: &str, model: &Path, args: &[&str]| {
        let mut command = harness.compiling_model(model, name, &[&passes[..], args].concat());
        command.args(["--calib-tokens", "2000", "--calib"]).arg(data());
        ok(command);
        harness.path(name)
    };
    let plan = compile("plan", &outliers, &[]);
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
    let held_out = certificate(&plan)["quality"]["held_out"]["overall"]["kl_nats"].as_f64().unwrap();
    println!("rotated instead of equalized: {held_out:.6} nats per token");
    assert!(held_out > 0.0 && held_out < 0.02, "{held_out}");
    assert_same(&plan, &compile("again", &outliers, &["--threads", "1"]));
    let mlir = |plan: &Path| fs::read_to_string(plan.join("plan.mlir")).unwrap();
    assert!(mlir(&plan).contains("rotate_columns(0/") && !mlir(&plan).contains("even_rows"));
    assert!(mlir(&compile("seven", &outliers, &["--seed", "7"])).contains("rotate_columns(7/"));
    let exported = harness.path("hf");
    ok(samp(["export".as_ref(), plan.as_os_str(), "-o".as_ref(), exported.as_os_str()]));
    ok(harness.compiling_model(&exported, "exported", &["--recipe", "uniform:f32"]));
    let [ours, theirs] =
        [plan, harness.path("exported")].map(|plan| saved_logits(&harness, &plan, "cpu", &tiny_llama()));
    let difference = largest_difference(&ours, &theirs);
    println!("the plan and its export differ by {difference:.1e}");
    assert!(difference <= 1e-4, "{difference}");
}

/// What a plan that is calibrated on one stratum alone loses on the others, and that the report says so.
#[test]
fn skewed_calibration_costs_the_other_strata() {
    let harness = Harness::new();
    let skewed = harness.path("json.jsonl");
    let text = fs::read_to_string(data()).unwrap();
    let only: Vec<&str> = text.lines().filter(|line| line.contains("\"stratum\": \"json\"")).collect();
    fs::write(&skewed, only.join("\n")).unwrap();
    let audit = data();
    let args = ["--max-bits", "4.2", "--formats", "nf4,f16", "--audit", audit.to_str().unwrap()];
    ok(routing(&harness, "mixed", &data(), &args));
    let out = output(routing(&harness, "skewed", &skewed, &args));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    assert!(said.contains("code") && said.contains("E1103"), "{said}");
    let strata = |name: &str| certificate(&harness.path(name))["quality"]["held_out"]["strata"].clone();
    let (mixed, skewed) = (strata("mixed"), strata("skewed"));
    for stratum in ["code", "prose"] {
        let kl = |of: &Value| of[stratum]["kl_nats"].as_f64().unwrap();
        println!("{stratum}: {:.5} calibrated on all, {:.5} on json alone", kl(&mixed), kl(&skewed));
        assert!(kl(&skewed) > 1.1 * kl(&mixed), "{stratum}: {} {}", kl(&mixed), kl(&skewed));
    }
}

/// A copy of a small checkpoint with a tokenizer of forty words, and texts of them in two strata, `even` and `odd`.
pub fn with_words(harness: &Harness, name: &str) -> (PathBuf, PathBuf) {
    let (model, texts) = (harness.path(name), harness.path("words.jsonl"));
    fs::create_dir(&model).unwrap();
    for file in files(&root().join("testdata/checkpoints").join(name)) {
        fs::write(model.join(file.0), file.1).unwrap();
    }
    let words: Vec<String> = (0..40).map(|i| format!("w{i}")).collect();
    let vocabulary: BTreeMap<&str, usize> =
        words.iter().map(String::as_str).chain(["<unk>"]).enumerate().map(|(id, word)| (word, id)).collect();
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "post_processor": null, "decoder": null,
        "truncation": null, "padding": null, "pre_tokenizer": { "type": "WhitespaceSplit" },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" },
    });
    fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let mut draws = Draws::new(1);
    let mut text =
        |_| (0..24).map(|_| words[draws.below(40) as usize].as_str()).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = (0..120)
        .map(|i| json!({ "text": text(i), "stratum": (["even", "odd"][i % 2]) }).to_string())
        .collect();
    fs::write(&texts, lines.join("\n")).unwrap();
    (model, texts)
}

/// Tied heads, biases everywhere, odd widths, grouped heads, windows, rotated or not: with bits to spare nothing is lost but
/// what rounding to 8 bits loses, as predicted. Where the head is tied nothing rotates, and that is said.
#[test]
fn checkpoints_of_any_shape_are_routed() {
    let rotated = ["--quality", "fold,equalize,rotate,correct,gptq", "--formats", "fp8_e4m3,nf4,f16"];
    let llamas = ["tied-odd", "all-biases", "odd-sizes", "gqa-head-dim", "mistral-window"];
    let others = ["qwen3-odd", "phi3", "granite-odd", "smollm3-window"];
    for name in llamas.into_iter().chain(others) {
        let harness = Harness::new();
        let (model, texts) = with_words(&harness, name);
        for (plan, flags) in [("plan", &[][..]), ("rotated", &rotated)] {
            let args = [&["--max-bits", "12", "--record-tokens", "24"], flags].concat();
            let mut command = harness.compiling_model(&model, plan, &args);
            command.arg("--calib").arg(&texts);
            let out = output(command);
            let said = text(&out.stderr);
            assert!(out.status.success(), "{name}: {said}");
            ok(samp(["validate".as_ref(), harness.path(plan).as_os_str()]));
            let turned =
                fs::read_to_string(harness.path(plan).join("plan.mlir")).unwrap().contains("rotate_");
            assert_eq!(turned, plan == "rotated" && name != "tied-odd", "{name}");
            assert_eq!(said.contains("E0504"), plan == "rotated" && !turned, "{name}: {said}");
            let round = certificate(&harness.path(plan))["quality"]["rounds"][0].clone();
            let [predicted, audited] =
                ["predicted_nats", "audited_nats"].map(|key| round[key].as_f64().unwrap());
            println!("{name}, {plan}: predicted {predicted:.1e}, audited {audited:.1e}");
            assert!(audited <= 2.0 * predicted + 1e-5, "{name}: {round}");
        }
    }
}

#[test]
fn weights_that_are_not_numbers_are_refused_by_name() {
    let harness = Harness::new();
    let model = harness.path("model");
    write_outlier_checkpoint(&model);
    let path = model.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let start = 8 + header + metadata.info("model.layers.3.mlp.up_proj.weight").unwrap().data_offsets.0;
    bytes[start + 2 * 256..][..2].copy_from_slice(&half::bf16::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let mut command =
        harness.compiling_model(&model, "plan", &["--calib-tokens", "200", "--record-tokens", "48"]);
    command.arg("--calib").arg(data());
    let (_, error) = fails(2, command);
    assert!(error.contains("E1104") && error.contains("model.layers.3.mlp.up_proj.weight"), "{error}");
    assert!(!harness.path("plan").exists());
}

#[test]
fn what_cannot_be_promised_is_refused_and_nothing_is_written() {
    let harness = Harness::new();
    let (_, error) =
        fails(1, routing(&harness, "small", &data(), &["--max-bits", "2", "--formats", "nf4,f16"]));
    assert!(error.contains("E0410"), "{error}");
    let (_, error) = fails(
        1,
        routing(
            &harness,
            "exact",
            &data(),
            &["--max-bits", "4.2", "--max-loss", "0.001%", "--formats", "nf4,f16"],
        ),
    );
    assert!(error.contains("E0410") || error.contains("E1102"), "{error}");
    assert!(!harness.path("small").exists() && !harness.path("exact").exists());
}
