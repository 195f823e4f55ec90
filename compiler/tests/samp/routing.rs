//! Formats decided from measurements, end to end.

use std::{fs, path::Path, time::Duration};

use samp_abi::{Format, TargetName};
use samp_compiler::{
    calibrate::{Evenings, Forward, MasterWeights, State, TokenBatch},
    compile::{CompileOptions, Source, lower_model},
    emit::PlanSpec,
    recipe::LoadedRecipe,
};
use samp_ir::Phase;
use samp_passes::{
    Quality,
    recipe::Recipe,
    transform::{Rounding, Transform},
};
use serde_json::Value;

use crate::{
    logits::{largest_difference, reference, saved_logits},
    twin::write_outlier_twin,
    workbench::{Bench, assert_same, fails, ok, output, root, samp, tiny_llama},
};

/// The f32 program of a checkpoint after some transforms, and its logits.
fn logits(model: &Path, quality: Quality, ids: &[Vec<u32>]) -> (PlanSpec, Vec<f32>) {
    let source = Source::open(model).unwrap();
    let recipe = Recipe::uniform(Format::F32);
    let recipe = LoadedRecipe { source: recipe.name.clone(), recipe };
    let options =
        CompileOptions { quality, kv: Some(Format::F32), ..CompileOptions::new(TargetName::Cpu, recipe) };
    let spec = lower_model(&source, &options, Phase::Planned, &mut |_, _| {}).unwrap().spec.unwrap();
    let Source::Checkpoint(import) = &source else { panic!("a checkpoint") };
    let evenings = Evenings::by_rms(&spec, &import.checkpoint).unwrap();
    let weights = MasterWeights::load(&spec, &import.checkpoint, &evenings).unwrap();
    let mut forward = Forward::new(&spec, weights).unwrap();
    let batches = TokenBatch::pack(ids, spec.limits.max_tokens as usize, spec.kv.page_tokens as usize);
    let all = batches.iter().flat_map(|b| forward.logits(b, &State::default()).to_vec()).collect();
    (spec, all)
}

/// Folding, evening and rotating change weights, by orders of magnitude in the twin, and no logit by more than 1e-4.
/// Where the embedding is tied nothing rotates.
#[test]
fn quality_passes_keep_the_function() {
    let bench = Bench::new();
    let twin = bench.path("twin");
    write_outlier_twin(&twin);
    let checkpoints = ["all-biases", "gqa-head-dim", "llama-mha", "tied", "odd-sizes"];
    let mut models: Vec<_> = checkpoints.map(|name| root().join("testdata/checkpoints").join(name)).into();
    models.extend([tiny_llama(), twin]);
    let evened = Quality { correct: false, rounding: Rounding::Nearest, ..Quality::ALL };
    let both = Quality { rotate: Some(7), ..evened };
    let rotated = Quality { equalize: false, ..both };
    for model in &models {
        let ids = reference(
            model.join("reference.safetensors").is_file().then_some(model).unwrap_or(&tiny_llama()),
        )
        .ids;
        let (plain, before) = logits(model, Quality::NONE, &ids);
        for (done, quality) in [("evening", evened), ("rotating", rotated), ("evening, then rotating", both)]
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

/// `samp compile --calib` with little data, fast enough for a test.
fn routing<'a>(bench: &'a Bench, name: &str, calib: &Path, args: &[&str]) -> std::process::Command {
    let mut command = bench.compiling(name, &["--calib-tokens", "1200", "--record-tokens", "48"]);
    command.arg("--calib").arg(calib).args(args);
    command
}

fn data() -> std::path::PathBuf {
    root().join("testdata/data/eval.jsonl")
}

fn certificate(plan: &Path) -> Value {
    serde_json::from_slice(&fs::read(plan.join("certificate.json")).unwrap()).unwrap()
}

#[test]
fn a_routed_plan_keeps_its_limits_and_is_the_same_each_time() {
    let bench = Bench::new();
    let args = ["--max-bits", "4.8", "--formats", "nf4,int6,f16"];
    ok(routing(&bench, "one", &data(), &args));
    ok(routing(&bench, "two", &data(), &[&args[..], &["--threads", "1"]].concat()));
    assert_same(&bench.path("one"), &bench.path("two"));
    let plan = bench.path("one");
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
    let certificate = certificate(&plan);
    assert!(certificate["decoder_linears"]["bits_per_weight"].as_f64().unwrap() <= 4.8);
    let quality = &certificate["quality"];
    let held_out = quality["held_out"]["overall"]["kl_nats"].as_f64().unwrap();
    assert!(held_out > 0.0 && held_out < 0.05, "{held_out}");
    assert!(quality["best_uniform"]["kl_nats"].as_f64().unwrap() >= held_out);
    assert!(!bench.path("one.calibration.partial").exists());
    let seeded = ["--max-bits", "4.8", "--formats", "nf4,int6,f16", "--seed", "7"];
    ok(routing(&bench, "seven", &data(), &seeded));
    assert_ne!(
        fs::read(bench.path("seven").join("certificate.json")).unwrap(),
        fs::read(plan.join("certificate.json")).unwrap()
    );
}

#[test]
fn a_compile_killed_while_it_measures_continues_to_the_same_plan() {
    let bench = Bench::new();
    let args = ["--max-bits", "5", "--formats", "nf4,int6,f16"];
    ok(routing(&bench, "whole", &data(), &args));
    let mut child = routing(&bench, "killed", &data(), &args).spawn().unwrap();
    let journal = bench.path("killed.calibration.partial/measured.jsonl");
    let lines = || fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
    while lines() < 4 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!bench.path("killed").exists());
    let measured = lines();
    let out = output({
        let mut command = samp(["compile", "--calib-tokens", "1200", "--record-tokens", "48", "--calib"]);
        command.arg(data()).args(args).arg(tiny_llama()).arg("-o").arg(bench.path("killed"));
        command
    });
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    assert!(said.matches("measured ").count() <= 26 - (measured - 2), "{said}");
    assert_same(&bench.path("whole"), &bench.path("killed"));
}

/// The twin rotated instead of evened out, within the size of nf4 alone: valid, the same for the same seed, and what is
/// exported computes the same.
#[test]
fn a_rotated_plan_is_valid_seeded_and_exported_right() {
    let bench = Bench::new();
    let twin = bench.path("twin");
    write_outlier_twin(&twin);
    let passes = ["--quality", "fold,rotate,correct,gptq", "--max-bits", "4.13", "--formats", "nf4,f16"];
    let compile = |name: &str, model: &Path, args: &[&str]| {
        let mut command = bench.compiling_model(model, name, &[&passes[..], args].concat());
        command.args(["--calib-tokens", "2000", "--calib"]).arg(data());
        ok(command);
        bench.path(name)
    };
    let plan = compile("plan", &twin, &[]);
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
    let held_out = certificate(&plan)["quality"]["held_out"]["overall"]["kl_nats"].as_f64().unwrap();
    println!("rotated instead of evened out: {held_out:.6} nats per token");
    assert!(held_out > 0.0 && held_out < 0.02, "{held_out}");
    assert_same(&plan, &compile("again", &twin, &["--threads", "1"]));
    let mlir = |plan: &Path| fs::read_to_string(plan.join("plan.mlir")).unwrap();
    assert!(mlir(&plan).contains("rotate_columns(0/") && !mlir(&plan).contains("even_rows"));
    assert!(mlir(&compile("seven", &twin, &["--seed", "7"])).contains("rotate_columns(7/"));
    let exported = bench.path("hf");
    ok(samp(["export".as_ref(), plan.as_os_str(), "-o".as_ref(), exported.as_os_str()]));
    ok(bench.compiling_model(&exported, "exported", &["--recipe", "uniform:f32"]));
    let [ours, theirs] =
        [plan, bench.path("exported")].map(|plan| saved_logits(&bench, &plan, "cpu", &tiny_llama()));
    let difference = largest_difference(&ours, &theirs);
    println!("the plan and its export differ by {difference:.1e}");
    assert!(difference <= 1e-4, "{difference}");
}

/// What a plan that is calibrated on one stratum alone loses on the others, and that the report says so.
#[test]
fn skewed_calibration_costs_the_other_strata() {
    let bench = Bench::new();
    let skewed = bench.path("json.jsonl");
    let text = fs::read_to_string(data()).unwrap();
    let only: Vec<&str> = text.lines().filter(|line| line.contains("\"stratum\": \"json\"")).collect();
    fs::write(&skewed, only.join("\n")).unwrap();
    let audit = data();
    let args = ["--max-bits", "4.2", "--formats", "nf4,f16", "--audit", audit.to_str().unwrap()];
    ok(routing(&bench, "mixed", &data(), &args));
    let out = output(routing(&bench, "skewed", &skewed, &args));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    assert!(said.contains("code") && said.contains("E1103"), "{said}");
    let strata = |name: &str| certificate(&bench.path(name))["quality"]["held_out"]["strata"].clone();
    let (mixed, skewed) = (strata("mixed"), strata("skewed"));
    for stratum in ["code", "prose"] {
        let kl = |of: &Value| of[stratum]["kl_nats"].as_f64().unwrap();
        println!("{stratum}: {:.5} calibrated on all, {:.5} on json alone", kl(&mixed), kl(&skewed));
        assert!(kl(&skewed) > 1.1 * kl(&mixed), "{stratum}: {} {}", kl(&mixed), kl(&skewed));
    }
}

#[test]
fn what_cannot_be_promised_is_refused_and_nothing_is_written() {
    let bench = Bench::new();
    let (_, error) =
        fails(2, routing(&bench, "small", &data(), &["--max-bits", "2", "--formats", "nf4,f16"]));
    assert!(error.contains("E0410"), "{error}");
    let (_, error) = fails(
        2,
        routing(
            &bench,
            "exact",
            &data(),
            &["--max-bits", "4.2", "--max-loss", "0.001%", "--formats", "nf4,f16"],
        ),
    );
    assert!(error.contains("E0410") || error.contains("E1102"), "{error}");
    assert!(!bench.path("small").exists() && !bench.path("exact").exists());
}
