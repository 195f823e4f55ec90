//! Plans for GPUs under the emulator.

use std::fs;

use safetensors::{Dtype, tensor::TensorView};
use samp_abi::{
    ElementType, Format,
    plan::{Buffer, Op, Plan, Step},
};
use samp_gpu_bench::plan::{Reference, agreement};
use samp_runtime::{
    BufferView, Chunk, DeviceKind, Fault, Observer, Outputs, Sampler, Sampling, validate_manifest,
};

use crate::{
    harness::{Harness, fails, ok, root, samp, tiny_llama},
    logits::{argmax, engine, in_chunks, largest_difference, reference},
    routing::{data, routing},
    split_members::manifest,
};

/// GPUs of either architecture.
pub const TARGETS: [&str; 2] = ["h100", "a100"];

pub fn compiled(harness: &Harness, target: &str, recipe: &str) -> std::path::PathBuf {
    harness.compile(&format!("{target}-{recipe}"), &["--target", target, "--recipe", recipe])
}

#[test]
fn emulated_gpus_give_the_logits_of_transformers() {
    let harness = Harness::new();
    let model = reference(&tiny_llama());
    let (ids, vocab) = (&model.ids[0], 4096);
    let expected = &model.logits[..ids.len() * vocab];
    // bf16 keeps three bits fewer than f16: 4e-2 were seen of it, and 5e-3 of f16.
    for (recipe, most) in [("uniform:f16", 2e-2), ("uniform:bf16", 8.0 * 2e-2)] {
        for target in TARGETS {
            let (plan, what) = (compiled(&harness, target, recipe), format!("{recipe} on {target}"));
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

/// What architectures have beside Llama: biases, norms of heads, heads that turn in part, stretched or not at all, multipliers.
#[test]
fn emulated_gpus_give_the_logits_of_every_architecture() {
    let harness = Harness::new();
    for name in ["qwen2", "qwen3", "rope-yarn", "phi3-longrope", "granite", "smollm3"] {
        let checkpoint = root().join("testdata/checkpoints").join(name);
        let expected = reference(&checkpoint);
        let (ids, vocab) = (&expected.ids[0], expected.logits.len() / expected.ids.concat().len());
        let expected = &expected.logits[..ids.len() * vocab];
        let largest = expected.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
        for target in TARGETS {
            let args = ["--target", target, "--recipe", "uniform:f16"];
            ok(harness.compiling_model(&checkpoint, &format!("{name}-{target}"), &args));
            let plan = harness.path(&format!("{name}-{target}"));
            let found = in_chunks(&plan, DeviceKind::Emulate, ids, &[20, 1, 2, 7]);
            let difference = largest_difference(&found, expected);
            println!("{name} on {target}: largest difference {difference:.2e} of {largest:.1}");
            assert!(difference <= 1e-2 * largest, "{name} on {target}: {difference} of {largest}");
        }
    }
}

#[test]
fn emulated_gpus_give_the_logits_of_the_reference_in_every_format() {
    let harness = Harness::new();
    let ids = &reference(&tiny_llama()).ids[0][..24];
    for (target, recipe) in [
        ("h100", "samp"),
        ("a100", "samp"),
        ("h100", "uniform:int4"),
        ("a100", "uniform:int8"),
        ("h100", "uniform:fp8_e4m3"),
    ] {
        let plan = compiled(&harness, target, recipe);
        let expected = in_chunks(&plan, DeviceKind::Reference, ids, &[ids.len()]);
        let found = in_chunks(&plan, DeviceKind::Emulate, ids, &[20, 1, 3]);
        let difference = largest_difference(&found, &expected);
        println!("{recipe} on {target}: largest difference {difference:.2e}");
        assert!(difference <= 5e-2, "{recipe} on {target}: {difference}");
    }
}

#[test]
fn emulated_gpus_choose_the_tokens_that_the_host_would() {
    let harness = Harness::new();
    let ids = &reference(&tiny_llama()).ids[0][..9];
    for target in TARGETS {
        let mut engine = engine(&compiled(&harness, target, "uniform:f16"), DeviceKind::Emulate, 64);
        let sequences = [0; 3].map(|_| engine.create().unwrap());
        let logits = sequences.map(|id| engine.append_tokens(id, ids, Outputs::Last).unwrap());
        let drawn = Sampling { temperature: 0.9, top_k: 40, top_p: 0.95, seed: 11, ..Sampling::default() };
        let samplers = [Sampling::default(), drawn, Sampling { seed: 12, ..drawn }]
            .map(|sampling| Sampler::new(sampling).unwrap());
        let requests = samplers.clone().map(|sampler| sampler.sample_request().unwrap());
        sequences.iter().for_each(|&id| engine.truncate(id, ids.len() - 1).unwrap());
        let last = &ids[ids.len() - 1..];
        // The second time launches are recorded, and the third what was recorded is launched again.
        for _ in 0..3 {
            let chunks = sequences.map(|sequence| Chunk { sequence, tokens: last, outputs: Outputs::Last });
            let sampled = engine.step_and_sample(&chunks, &requests).unwrap();
            for ((sampler, logits), sampled) in samplers.iter().zip(&logits).zip(sampled) {
                let expected = sampler.clone().sample(logits.row(0), ids).unwrap();
                let found = sampler.clone().accept(sampled).unwrap();
                assert_eq!(found.token, expected.token, "{target}");
                assert!(
                    (found.logprob - expected.logprob).abs() <= 2e-2,
                    "{target}: {found:?}, {expected:?}"
                );
            }
            sequences.iter().for_each(|&id| engine.truncate(id, ids.len() - 1).unwrap());
        }
    }
}

/// One token of each of several sequences beside prompts: other kernels attend for them, in the same step. Then without the
/// prompts: three rows, filled up to four.
#[test]
fn emulated_gpus_decode_beside_prompts() {
    let harness = Harness::new();
    let ids = &reference(&tiny_llama()).ids[0];
    let mut engine = engine(&compiled(&harness, "h100", "uniform:f16"), DeviceKind::Emulate, 256);
    // Of each text, how much is cached before the step that has them all, and how much that brings.
    let parts = [(20, 1), (0, 9), (5, 7), (23, 1), (11, 1)];
    let texts: Vec<&[u32]> =
        parts.iter().enumerate().map(|(i, (old, new))| &ids[5 * i..][..old + new]).collect();
    let mut expected = vec![];
    let mut sequences = vec![];
    for (text, (old, _)) in texts.iter().zip(parts) {
        let id = engine.create().unwrap();
        expected.push(engine.append_tokens(id, text, Outputs::Last).unwrap());
        engine.truncate(id, old).unwrap();
        sequences.push(id);
    }
    for chosen in [&[0, 1, 2, 3, 4][..], &[0, 3, 4]] {
        let chunk = |&i: &usize| Chunk {
            sequence: sequences[i],
            tokens: &texts[i][parts[i].0..],
            outputs: Outputs::Last,
        };
        let batch: Vec<Chunk<'_>> = chosen.iter().map(chunk).collect();
        let found = engine.step(&batch).unwrap();
        for (row, &i) in chosen.iter().enumerate() {
            let difference = largest_difference(found.row(row), expected[i].row(0));
            assert!(difference <= 2e-2, "sequence {i} of {chosen:?}: {difference}");
            engine.truncate(sequences[i], parts[i].0).unwrap();
        }
    }
}

/// `input_ids` and `logits` of the first tokens of two texts.
fn part_of_reference(tokens: usize) -> Vec<u8> {
    let (model, vocab) = (reference(&tiny_llama()), 4096);
    let long = model.ids[0].len();
    let ids: Vec<u8> = model.ids[..2]
        .iter()
        .flat_map(|text| &text[..tokens])
        .flat_map(|id| i64::from(*id).to_le_bytes())
        .collect();
    let logits = (0..2).flat_map(|text| &model.logits[text * long * vocab..][..tokens * vocab]);
    let logits: Vec<u8> = logits.flat_map(|logit| logit.to_le_bytes()).collect();
    let tensors = [
        ("input_ids", TensorView::new(Dtype::I64, vec![2, tokens], &ids).unwrap()),
        ("logits", TensorView::new(Dtype::F32, vec![2, tokens, vocab], &logits).unwrap()),
    ];
    safetensors::serialize(tensors, None).unwrap()
}

#[test]
fn the_suite_for_gpus_sees_how_near_a_plan_comes_to_its_reference() {
    let harness = Harness::new();
    let agreement = |recipe: &str| {
        let mut engine = engine(&compiled(&harness, "h100", recipe), DeviceKind::Emulate, 64);
        agreement(&mut engine, &Reference::read(&part_of_reference(6)).unwrap()).unwrap()
    };
    let (exact, coarse) = (agreement("uniform:f16"), agreement("uniform:fp4"));
    println!("f16: {exact}; fp4: {coarse}");
    assert!(exact.within(2e-2) && !coarse.within(2e-2));
    assert_eq!((exact.rows, exact.sampled), (12, 12));
    let text = Reference::read(&part_of_reference(6)[..100]).unwrap_err().to_string();
    assert!(text.contains("input_ids"), "{text}");
}

/// Keys unlike queries and values, so that their results are put together.
const SPLIT_MEMBERS: &str = r#"
name = "split"

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
fn split_members_run_on_emulated_gpus() {
    let harness = Harness::new();
    let recipe = harness.path("split.toml");
    fs::write(&recipe, SPLIT_MEMBERS).unwrap();
    let plan = harness.compile("split", &["--target", "h100", "--recipe", recipe.to_str().unwrap()]);
    let ids = &reference(&tiny_llama()).ids[0][..8];
    let expected = in_chunks(&plan, DeviceKind::Reference, ids, &[ids.len()]);
    let difference = largest_difference(&in_chunks(&plan, DeviceKind::Emulate, ids, &[7, 1]), &expected);
    println!("split members: largest difference {difference:.2e}");
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
    let harness = Harness::new();
    let recipe = harness.path("mixed.toml");
    fs::write(&recipe, MIXED).unwrap();
    let compiling =
        |target| harness.compiling("mixed", &["--target", target, "--recipe", recipe.to_str().unwrap()]);
    let (_, said) = fails(2, compiling("h100"));
    for part in ["`layers.1.mlp.down_proj` in f16", "`layers.0.self_attn.qkv_proj` in bf16", "hint: "] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    assert!(!harness.path("mixed").exists());
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
    let harness = Harness::new();
    let ids = &reference(&tiny_llama()).ids[0][..5];
    for (recipe, bits) in [("uniform:f16", 11), ("uniform:bf16", 8)] {
        let plan = compiled(&harness, "a100", recipe);
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
    let harness = Harness::new();
    let sound = manifest(&compiled(&harness, "a100", "uniform:bf16"));
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
fn routed_plans_for_gpus_hold_what_runs_there() {
    let harness = Harness::new();
    // GPUs have no kernels for int6, nor for bf16 beside f16. Trials draw from all that is left.
    let args = ["--target", "h100", "--max-bits", "9", "--formats", "nf4,int6,bf16,f16", "--trials", "2"];
    ok(routing(&harness, "routed", &data(), &args));
    let plan = manifest(&harness.path("routed"));
    assert_eq!(plan.program.activations(), ElementType::F16);
    let mut formats: Vec<Format> = vec![];
    for step in &plan.program.steps {
        if let Op::Linear { weight, .. } = step.op {
            formats.push(plan.tensors[weight.0 as usize].format);
        }
    }
    assert!(formats.iter().all(|format| [Format::Nf4, Format::F16].contains(format)), "{formats:?}");
    assert!(formats.contains(&Format::Nf4) && formats.contains(&Format::F16), "{formats:?}");
}
