//! The GPU bench lowers models by their sizes alone, without MLIR: its plans are what the compiler lowers from the same
//! configurations.

use std::path::{Path, PathBuf};

use samp_abi::{
    Format, Layout, TargetName,
    plan::{Limits, Model, Plan, Program, Tensor},
};
use samp_compiler::lower::{
    LowerOptions, Measurements, ModelSource, PlanSpec, TensorSpec, lower_model, recipe,
};
use samp_gpu_bench::{
    bench::{kv_format::KvFormat, synthetic_plan::SyntheticPlan},
    model_shape::{BenchModel, ModelShape},
};
use samp_ir::Phase;
use samp_kernels::target::Target;

use crate::harness::root;

const RECIPES: [&str; 5] = ["samp", "uniform:nf4", "uniform:f16", "uniform:fp8_e4m3", "uniform:bf16"];
const LIMITS: Limits = Limits { max_tokens: 256, max_sequences: 16, max_context: 2048 };

/// The configuration of a shape: that of the two small layers with other sizes.
fn write_config(shape: &ModelShape, folder: &Path) -> PathBuf {
    let text = std::fs::read(root().join("testdata/configs/two-layers.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&text).unwrap();
    for (key, value) in [
        ("hidden_size", shape.hidden),
        ("intermediate_size", shape.intermediate),
        ("num_hidden_layers", shape.layers),
        ("num_attention_heads", shape.heads),
        ("num_key_value_heads", shape.kv_heads),
        ("vocab_size", shape.vocab),
    ] {
        config[key] = value.into();
    }
    let path = folder.join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

fn lowered(config: &Path, recipe: &str, target: TargetName) -> PlanSpec {
    let Limits { max_tokens, max_sequences, max_context } = LIMITS;
    let recipe = recipe::load(recipe).unwrap();
    let options = LowerOptions {
        max_tokens,
        max_sequences,
        max_context: Some(max_context),
        ..LowerOptions::new(target, recipe)
    };
    let source = ModelSource::open(config).unwrap();
    let lowered = lower_model(&source, &options, &Measurements::default(), Phase::Planned, &[]);
    lowered.unwrap_or_else(|error| panic!("{error}")).spec.expect("planned")
}

/// The bench's plan for steps of one bucket.
fn synthetic(shape: ModelShape, recipe: &str, target: TargetName, bucket: u64) -> Plan {
    let limits = Limits { max_tokens: bucket, ..LIMITS };
    let plan = SyntheticPlan { shape, formats: recipe.parse().unwrap(), kv: KvFormat::F16, limits };
    plan.manifest(Target::of(target), |_| None).unwrap_or_else(|error| panic!("{error}"))
}

/// What one bucket of a program says, wherever its buffers lie: the bench places every layer's results alike, the compiler by
/// how long they live.
fn of_bucket(program: &Program, bucket: u64) -> Program {
    let mut program = program.clone();
    program.buckets.retain(|bound| *bound == bucket);
    for step in &mut program.steps {
        step.kernels.retain(|kernel| kernel.max_tokens == bucket);
    }
    for buffer in &mut program.buffers {
        buffer.offset = 0;
        buffer.bytes = bucket * buffer.width * buffer.dtype.bytes();
    }
    program
}

/// The model, but for what only text needs.
fn without_tokens(model: &Model) -> Model {
    Model { bos_token_id: None, eos_token_ids: vec![], ..model.clone() }
}

/// How a tensor is stored.
#[derive(Debug, PartialEq)]
struct Stored<'a> {
    name: &'a str,
    format: Format,
    layout: Layout,
    shape: [u64; 2],
    bytes: u64,
}

impl<'a> Stored<'a> {
    fn in_plan(tensor: &'a Tensor) -> Stored<'a> {
        let &Tensor { ref name, format, layout, rows, cols, .. } = tensor;
        Stored { name, format, layout, shape: [rows, cols], bytes: tensor.bytes() }
    }

    fn in_spec(tensor: &'a TensorSpec) -> Stored<'a> {
        let &TensorSpec { ref name, format, layout, rows, cols, .. } = tensor;
        Stored { name, format, layout, shape: [rows, cols], bytes: tensor.stored_bytes() }
    }
}

fn check(model: BenchModel, config: &Path) {
    let shape = model.shape();
    for target in [TargetName::H100, TargetName::A100] {
        for recipe in RECIPES {
            let spec = lowered(config, recipe, target);
            for &bucket in &spec.program.buckets {
                let about = format!("{} in {recipe} on {target}, bucket {bucket}", shape.name);
                let plan = synthetic(shape, recipe, target, bucket);
                let (found, expected) = (of_bucket(&plan.program, bucket), of_bucket(&spec.program, bucket));
                for (found, expected) in found.steps.iter().zip(&expected.steps) {
                    assert_eq!(found, expected, "{about}");
                }
                assert_eq!(found, expected, "{about}");
                assert_eq!(plan.model, without_tokens(&spec.model), "{about}");
                assert_eq!(plan.kv, spec.kv, "{about}");
                let found: Vec<_> = plan.tensors.iter().map(Stored::in_plan).collect();
                let expected: Vec<_> = spec.tensors.iter().map(Stored::in_spec).collect();
                assert_eq!(found, expected, "{about}");
            }
        }
    }
}

#[test]
fn synthetic_plans_of_two_small_layers_are_what_the_compiler_lowers() {
    let folder = tempfile::tempdir().unwrap();
    check(BenchModel::Tiny, &write_config(&BenchModel::Tiny.shape(), folder.path()));
}

#[test]
fn synthetic_plans_of_llama_3_8b_are_what_the_compiler_lowers() {
    check(BenchModel::Llama3_8b, &root().join("testdata/configs/llama-3-8b.json"));
}

#[test]
fn synthetic_plans_of_llama_3_70b_are_what_the_compiler_lowers() {
    check(BenchModel::Llama3_70b, &root().join("testdata/configs/llama-3-70b.json"));
}
