//! The library called as a build pipeline would: the plans are those that the command writes.

use std::{path::Path, sync::Mutex};

use samp_abi::{Format, TargetName};
use samp_compiler::{
    CompileError, CompileRequest, Precision,
    certificate::Certificate,
    compile,
    compile::{CalibrationRequest, Loaded, Planned},
    lower::recipe,
    quantize::{data::DataRequest, search::Verdict},
};
use samp_passes::Constraints;
use samp_runtime::{Progress, Silent};

use crate::{
    harness::{Harness, assert_same, root, tiny_llama},
    routing::{certificate, data, routing},
};

/// Keeps every stage and every note.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn begin(&self, stage: &str, _: u64) {
        self.0.lock().unwrap().push(stage.into());
    }

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.into());
    }
}

fn by_recipe(recipe: &str) -> CompileRequest {
    let recipe = recipe::load(recipe).unwrap();
    CompileRequest::new(tiny_llama(), TargetName::Cpu, Precision::Recipe(recipe))
}

#[test]
fn a_plan_by_a_recipe_is_the_commands() {
    let harness = Harness::new();
    for recipe in ["samp", "uniform:nf4"] {
        let theirs = harness.compile(&format!("theirs-{recipe}"), &["--recipe", recipe]);
        let ours = harness.path(&format!("ours-{recipe}"));
        let compiled = compile(&by_recipe(recipe).into_plan(&ours), &Silent).unwrap();
        assert_same(&theirs, &ours);
        assert!(compiled.evidence.is_none() && compiled.warnings.is_empty());
        assert!(std::fs::read_to_string(ours.join("plan.json")).unwrap().contains(&compiled.plan.digest));
    }
}

fn calibration() -> CalibrationRequest {
    let data = DataRequest { tokens: 1200, record_tokens: 48, ..DataRequest::new(data()) };
    let constraints = Constraints { bits_per_weight: Some(4.5), ..Constraints::default() };
    CalibrationRequest { constraints, ..CalibrationRequest::new(data, vec![Format::Nf4, Format::F16]) }
}

#[test]
fn a_plan_by_measurements_is_the_commands() {
    let harness = Harness::new();
    let flags = ["--max-bits", "4.5", "--formats", "nf4,f16"];
    crate::harness::ok(routing(&harness, "theirs", &data(), &flags));
    let (theirs, ours) = (harness.path("theirs"), harness.path("ours"));
    let precision = Precision::Calibrated(Box::new(calibration()));
    let request = CompileRequest::new(tiny_llama(), TargetName::Cpu, precision).into_plan(&ours);
    let notes = Notes::default();
    let compiled = compile(&request, &notes).unwrap();
    assert_same(&theirs, &ours);
    let evidence = compiled.evidence.unwrap();
    let text = std::fs::read_to_string(ours.join("certificate.json")).unwrap();
    let written: Certificate = serde_json::from_str(&text).unwrap();
    assert_eq!(written.quality, Some(evidence));
    assert!(certificate(&ours)["quality"]["rounds"].as_array().is_some_and(|rounds| rounds.len() == 1));
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.iter().any(|note| note == "rounding, attempt 1"), "{notes:?}");
    assert!(!harness.path("ours.calibration.partial").exists());
}

/// The stages one by one, without a limit on losses.
#[test]
fn a_plan_stage_by_stage_is_that_of_one_call() {
    let harness = Harness::new();
    let request = |name: &str| {
        let mut calibration = calibration();
        calibration.data.tokens = 300;
        let precision = Precision::Calibrated(Box::new(calibration));
        CompileRequest::new(tiny_llama(), TargetName::Cpu, precision).into_plan(harness.path(name))
    };
    let staged = request("staged");
    let measured = Loaded::open(&staged).unwrap().measure(&Silent).unwrap();
    let audited = measured.decide().unwrap().quantize(&Silent).unwrap().audit(&Silent).unwrap();
    let Verdict::Kept(audited) = audited.judge(&Silent).unwrap() else { panic!("there is no limit") };
    let planned = Planned::from(audited.certify(&Silent).unwrap());
    let staged = planned.emit(&staged.emission, &Silent).unwrap();
    let at_once = compile(&request("at-once"), &Silent).unwrap();
    assert_eq!(staged.plan.digest, at_once.plan.digest);
}

#[test]
fn what_is_missing_is_refused_before_any_work() {
    let harness = Harness::new();
    let refused = compile(&by_recipe("samp"), &Silent).err().unwrap();
    assert!(matches!(refused, CompileError::NoOutput), "{refused}");
    let request = by_recipe("samp").into_plan(harness.path("plan"));
    let refused = Loaded::open(&request).unwrap().measure(&Silent).err().unwrap();
    assert!(matches!(refused, CompileError::NoData), "{refused}");
    let shapes = root().join("testdata/configs/two-layers.json");
    let recipe = Precision::Recipe(recipe::load("samp").unwrap());
    let request = CompileRequest::new(&shapes, TargetName::Cpu, recipe).into_plan(harness.path("plan"));
    let refused = compile(&request, &Silent).err().unwrap();
    assert!(
        matches!(&refused, CompileError::NoWeights(model) if **model == *Path::new(&shapes)),
        "{refused}"
    );
    let precision = Precision::Calibrated(Box::new(calibration()));
    let request = CompileRequest::new(&shapes, TargetName::Cpu, precision).into_plan(harness.path("plan"));
    let refused = compile(&request, &Silent).err().unwrap();
    assert!(refused.to_string().contains("calibration needs weights"), "{refused}");
    assert!(!harness.path("plan").exists() && !harness.path("plan.calibration.partial").exists());
}
