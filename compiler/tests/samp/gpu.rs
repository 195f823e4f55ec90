//! Plans for GPUs, without one: their machine code, and the same kernels under the emulator.

use std::{fs, path::Path};

use samp_abi::{
    ElementType,
    plan::{Buffer, Plan, Step},
};
use samp_runtime::{BufferView, Chunk, DeviceKind, Fault, Observer, Outputs, open, validate_manifest};
use serde_json::Value;

use crate::{
    apart::manifest,
    logits::{argmax, engine, in_chunks, largest_difference, reference},
    workbench::{Bench, fails, ok, root, samp, tiny_llama},
};

const TARGETS: [&str; 2] = ["h100", "a100"];

fn compiled(bench: &Bench, target: &str, recipe: &str) -> std::path::PathBuf {
    bench.compile(&format!("{target}-{recipe}"), &["--target", target, "--recipe", recipe])
}

#[test]
fn emulated_gpus_give_the_logits_of_transformers() {
    let bench = Bench::new();
    let model = reference(&tiny_llama());
    let (ids, vocab) = (&model.ids[0], 4096);
    let expected = &model.logits[..ids.len() * vocab];
    // bf16 keeps three bits fewer than f16: 4e-2 were seen of it, and 5e-3 of f16.
    for (recipe, most) in [("uniform:f16", 2e-2), ("uniform:bf16", 8.0 * 2e-2)] {
        for target in TARGETS {
            let (plan, what) = (compiled(&bench, target, recipe), format!("{recipe} on {target}"));
            // A chunk of many tokens, one, two, a tile of 8 and of 16, each with its own kernels.
            let found = in_chunks(&plan, DeviceKind::Emulate, ids, &[40, 1, 2, 7, 13]);
            let difference = largest_difference(&found, expected);
            println!("{what}: largest difference {difference:.2e}");
            assert!(difference <= most, "{what}: {difference}");
            let agree = found.chunks_exact(vocab).zip(expected.chunks_exact(vocab));
            let agree = agree.filter(|(x, y)| argmax(x) == argmax(y)).count();
            assert!(agree + 1 >= ids.len(), "{what}: {agree} of {}", ids.len());
            // Unlike the engine above, the command begins with the golden probe.
            let mut run = samp(["run", "--device", "emulate", "-n", "1", "-p", "Once"]);
            run.arg(&plan);
            ok(run);
        }
    }
}

#[test]
fn emulated_gpus_give_the_logits_of_the_reference_in_every_format() {
    let bench = Bench::new();
    let ids = &reference(&tiny_llama()).ids[0][..24];
    for (target, recipe) in [
        ("h100", "samp"),
        ("a100", "samp"),
        ("h100", "uniform:int4"),
        ("a100", "uniform:int8"),
        ("h100", "uniform:fp8_e4m3"),
    ] {
        let plan = compiled(&bench, target, recipe);
        let expected = in_chunks(&plan, DeviceKind::Reference, ids, &[ids.len()]);
        let found = in_chunks(&plan, DeviceKind::Emulate, ids, &[20, 1, 3]);
        let difference = largest_difference(&found, &expected);
        println!("{recipe} on {target}: largest difference {difference:.2e}");
        assert!(difference <= 5e-2, "{recipe} on {target}: {difference}");
    }
}

/// Keys unlike queries and values, so that their results are put together.
const APART: &str = r#"
name = "apart"

[[rule]]
match = "*"
format = "f16"

[[rule]]
match = "layers.*"
format = "fp8_e4m3"

[[rule]]
match = "layers.*.k_proj"
format = "int8"
"#;

#[test]
fn members_apart_run_on_emulated_gpus() {
    let bench = Bench::new();
    let recipe = bench.path("apart.toml");
    fs::write(&recipe, APART).unwrap();
    let plan = bench.compile("apart", &["--target", "h100", "--recipe", recipe.to_str().unwrap()]);
    let ids = &reference(&tiny_llama()).ids[0][..8];
    let expected = in_chunks(&plan, DeviceKind::Reference, ids, &[ids.len()]);
    let difference = largest_difference(&in_chunks(&plan, DeviceKind::Emulate, ids, &[7, 1]), &expected);
    println!("members apart: largest difference {difference:.2e}");
    assert!(difference <= 5e-2, "{difference}");
}

/// Values that are stored plainly, some as f16 and some as bf16; the table may be either.
const MIXED: &str = r#"
name = "mixed"

[[rule]]
match = "*"
format = "bf16"

[[rule]]
match = "embed_tokens"
format = "f16"

[[rule]]
match = "layers.1.mlp.down_proj"
format = "f16"
"#;

#[test]
fn linears_in_f16_and_in_bf16_are_refused_on_gpus() {
    let bench = Bench::new();
    let recipe = bench.path("mixed.toml");
    fs::write(&recipe, MIXED).unwrap();
    let compiling =
        |target| bench.compiling("mixed", &["--target", target, "--recipe", recipe.to_str().unwrap()]);
    let (_, said) = fails(2, compiling("h100"));
    for part in ["`layers.1.mlp.down_proj` in f16", "`layers.0.self_attn.qkv_proj` in bf16", "hint: "] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    assert!(!bench.path("mixed").exists());
    ok(compiling("cpu"));
}

/// What the first step of narrow results left.
#[derive(Default)]
struct Narrowed(Vec<f32>);

impl Observer for Narrowed {
    fn after_step(&mut self, _: usize, step: &Step, buffers: &BufferView<'_>) {
        if step.label == "layers.0.input_layernorm" {
            self.0 = buffers.get(step.op.writes()[0]).to_vec();
        }
    }
}

#[test]
fn observers_see_activations_of_either_type() {
    let bench = Bench::new();
    let ids = &reference(&tiny_llama()).ids[0][..5];
    for (recipe, bits) in [("uniform:f16", 11), ("uniform:bf16", 8)] {
        let plan = compiled(&bench, "a100", recipe);
        let [emulated, expected] = [DeviceKind::Emulate, DeviceKind::Reference].map(|device| {
            let (mut engine, mut seen) = (engine(&plan, device, ids.len()), Narrowed::default());
            let sequence = engine.create().unwrap();
            let chunk = Chunk { sequence, tokens: ids, outputs: Outputs::Last };
            engine.step_observed(&[chunk], &mut seen).unwrap();
            seen.0
        });
        assert!(emulated.len() == expected.len() && expected.iter().any(|x| x.abs() > 0.1));
        for (x, y) in emulated.iter().zip(&expected) {
            let rounding = y.abs() * 0.5f32.powi(bits) * 1.01 + 1e-6;
            assert!((x - y).abs() <= rounding, "{recipe}: expected {y}, found {x}");
        }
    }
}

#[test]
fn plans_keep_to_one_type_of_activations() {
    let bench = Bench::new();
    let sound = manifest(&compiled(&bench, "a100", "uniform:bf16"));
    let faults = |change: &dyn Fn(&mut Plan)| {
        let mut plan = sound.clone();
        change(&mut plan);
        validate_manifest(&plan).into_iter().map(|finding| finding.fault).collect::<Vec<_>>()
    };
    assert_eq!(faults(&|_| ()), []);
    fn narrow(plan: &mut Plan) -> impl Iterator<Item = &mut Buffer> {
        plan.program.buffers.iter_mut().filter(|buffer| buffer.dtype == ElementType::Bf16)
    }
    let one = faults(&|plan| narrow(plan).last().unwrap().dtype = ElementType::F16);
    assert!(one.contains(&Fault::Buffer), "{one:?}");
    let all = faults(&|plan| narrow(plan).for_each(|buffer| buffer.dtype = ElementType::F16));
    assert!(all.contains(&Fault::Kernel), "weights of bf16 beside activations of f16: {all:?}");
}

#[test]
fn shapes_without_a_kernel_are_refused_by_name() {
    let bench = Bench::new();
    // Its heads have 16 channels.
    let tied = root().join("testdata/checkpoints/tied");
    let refused = bench.compiling_model(&tied, "tied", &["--target", "a100"]);
    let (_, said) = fails(2, refused);
    assert!(said.contains("rope") && said.contains("another target"), "{said}");
    assert!(!bench.path("tied").exists());
}

#[test]
fn a_plan_holds_the_code_of_its_kernels_and_of_no_others() {
    let bench = Bench::new();
    let plan = compiled(&bench, "h100", "samp");
    let report: Value = serde_json::from_slice(&fs::read(plan.join("kernels/report.json")).unwrap()).unwrap();
    let kernels = report.as_array().unwrap();
    let named = |stem: &str| kernels.iter().filter(|k| k["kernel"] == stem).count();
    for stem in ["linear_nf4_gemv", "linear_fp8_wgmma", "attention_decode", "rope_append", "silu_mul"] {
        assert!(named(stem) > 0, "no code of {stem}");
    }
    assert_eq!(named("linear_int8_mma"), 0, "code that nothing calls for");
    let files = fs::read_dir(plan.join("kernels")).unwrap().count();
    assert_eq!(files, kernels.len() + 1, "each kernel once, and the report");

    let first = plan.join(kernels[0]["path"].as_str().unwrap());
    fs::remove_file(&first).unwrap();
    let refused = open(&plan).expect_err("a plan without its code").to_string();
    assert!(refused.contains("there is no such file"), "{refused}");
}

#[test]
fn the_same_plan_comes_out_each_time() {
    let bench = Bench::new();
    let first = compiled(&bench, "a100", "samp");
    let second = bench.compile("again", &["--target", "a100", "--recipe", "samp", "--threads", "1"]);
    let manifest = |plan: &Path| fs::read(plan.join("plan.json")).unwrap();
    assert_eq!(manifest(&first), manifest(&second));
}

#[test]
fn the_kernels_of_a_model_of_70b_compile_from_its_shapes() {
    let bench = Bench::new();
    let config = root().join("testdata/configs/llama-3-70b.json");
    for target in TARGETS {
        let mut command = samp(["compile", "--target", target, "--kernels"]);
        command.arg(bench.path(target)).arg(&config);
        let said = ok(command);
        println!("{said}");
        assert!(said.contains("no spills"), "{said}");
    }
    let mut command = samp(["compile", "--target", "cpu", "--kernels"]);
    command.arg(bench.path("cpu")).arg(&config);
    let output = command.output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("choose a GPU"));
}
