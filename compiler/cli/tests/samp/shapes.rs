//! Graphs and sizes of models by their shape alone, phase by phase, as snapshots.

use std::path::{Path, PathBuf};

use samp_abi::TargetName;
use samp_compiler::lower::{
    LowerOptions, Lowered, Measurements, ModelSource, check_budget, lower_model, recipe, size::SizeTable,
};
use samp_ir::Phase;

use crate::harness::{fails, ok, root, samp};

fn config(name: &str) -> PathBuf {
    root().join("testdata/configs").join(name)
}

/// The model lowered to the end, with the graph of every phase.
fn lowered(config: &Path, recipe: &str) -> Lowered {
    let source = ModelSource::open(config).expect("a known shape");
    let options = LowerOptions::new(TargetName::Cpu, recipe::load(recipe).expect("a recipe"));
    lower_model(&source, &options, &Measurements::default(), Phase::Planned, &Phase::ALL)
        .expect("shapes lower")
}

/// Only the first and the last layer of a large model are shown; the graph is the same in between.
fn without_inner_layers(text: &str, layers: u64) -> String {
    let inner = |line: &str| {
        let layer =
            line.split("\"layers.").nth(1).and_then(|rest| rest.split('.').next()?.parse::<u64>().ok());
        layer.is_some_and(|layer| layer > 0 && layer + 1 < layers)
    };
    let shown: Vec<&str> = text.lines().filter(|line| !inner(line)).collect();
    format!(
        "{}\n// {} lines of layers 1 to {} left out\n",
        shown.join("\n"),
        text.lines().count() - shown.len(),
        layers - 2
    )
}

#[test]
fn every_phase_of_a_two_layer_model() {
    for graph in lowered(&config("two-layers.json"), "samp").trace.graphs {
        insta::assert_snapshot!(format!("two-layers-{}", graph.phase), graph.mlir);
    }
}

#[test]
fn every_phase_of_llama_3_8b_and_70b() {
    for (name, layers) in [("llama-3-8b", 32), ("llama-3-70b", 80)] {
        for graph in lowered(&config(&format!("{name}.json")), "samp").trace.graphs {
            let shown = without_inner_layers(&graph.mlir, layers);
            insta::assert_snapshot!(format!("{name}-{}", graph.phase), shown);
        }
    }
}

#[test]
fn sizes_of_llama_3_70b() {
    let path = config("llama-3-70b.json");
    let sizes = |recipe: &str| {
        let spec = lowered(&path, recipe).spec.expect("planned");
        (SizeTable::new(&spec), spec)
    };
    let (samp, spec) = sizes("samp");
    insta::assert_snapshot!("llama-3-70b-samp-sizes", samp);
    assert_eq!(gigabytes(samp.weights_bytes), "45.37");
    let tight = root().join("testdata/recipes/nf4-fp8-ends.toml");
    let (tight, tight_spec) = sizes(tight.to_str().unwrap());
    insta::assert_snapshot!("llama-3-70b-nf4-fp8-ends-sizes", tight);
    assert_eq!(gigabytes(tight.weights_bytes), "37.42");

    let refusal = check_budget(&spec, 38_000_000_000).unwrap_err();
    insta::assert_snapshot!("llama-3-70b-over-budget", refusal);
    assert!(check_budget(&spec, 46_000_000_000).is_ok());
    // The weights fit; a machine with no more memory than that could not run them.
    let warning = check_budget(&tight_spec, 38_000_000_000).unwrap().expect("a warning");
    insta::assert_snapshot!("llama-3-70b-no-room-to-run", warning);
    assert_eq!(check_budget(&tight_spec, tight.least_bytes_to_run), Ok(None));
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1e9)
}

#[test]
fn a_budget_that_is_too_small_is_refused_before_any_work() {
    let path = config("llama-3-70b.json");
    let mut command = samp(["compile", "--dry-run", "--budget", "38GB"]);
    command.arg(&path);
    let (_, message) = fails(1, command);
    assert!(message.contains("45.37 GB") && message.contains("7.37 GB too much"), "{message}");
    for phase in ["model", "typed", "planned"] {
        let mut command = samp(["compile", "--stop-after", phase, "--budget", "38GB"]);
        command.arg(&path);
        let (shown, message) = fails(1, command);
        assert!(shown.is_empty() && message.contains("7.37 GB too much"), "{phase}: {message}");
    }
    let mut command = samp(["compile", "--dry-run", "--budget", "46GB"]);
    command.arg(&path);
    assert!(ok(command).contains("45.3"));
}
