//! Manifests that are well formed and sealed, and wrong: each is refused for what is wrong with it.

use std::{fs, sync::Arc};

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};

use samp_abi::{Component, ElementType, Format, Group, Layout, TargetName, plan::*};
use samp_runtime::{DeviceKind, Engine, EngineOptions, Fault, Outputs, open, validate};
use serde_json::Value;

use crate::support::{KV_FP8, Recipe, SAMP, TinyPlan, hash, make, write_manifest};

type Case = (&'static str, Fault, fn(&mut Plan));

fn step<'a>(plan: &'a mut Plan, label: &str) -> &'a mut Step {
    plan.program.steps.iter_mut().find(|s| s.label == label).unwrap()
}

fn check(plan: &TinyPlan, cases: &[Case]) {
    let sound = plan.manifest();
    for (name, fault, change) in cases {
        plan.edit(change);
        let findings = validate(plan.path());
        assert!(
            findings.iter().any(|f| f.fault == *fault),
            "{name}: expected {fault:?}, found {findings:#?}"
        );
        assert_eq!(open(plan.path()).unwrap_err(), findings[0], "{name}");
        write_manifest(plan.path(), &sound);
    }
    assert_eq!(validate(plan.path()), []);
}

#[test]
fn numbers_beyond_all_bounds_are_refused_and_nothing_is_taken() {
    check(
        &make(SAMP),
        &[
            ("layers", Fault::TooLarge, |p| p.model.layers = u64::MAX),
            ("no layers", Fault::TooLarge, |p| p.model.layers = 0),
            ("heads", Fault::TooLarge, |p| p.model.heads = 1 << 60),
            ("no kv heads", Fault::TooLarge, |p| p.model.kv_heads = 0),
            ("vocabulary", Fault::TooLarge, |p| p.model.vocab_size = u64::MAX),
            ("tokens", Fault::TooLarge, |p| p.limits.max_tokens = u64::MAX),
            ("sequences", Fault::TooLarge, |p| p.limits.max_sequences = u64::MAX),
            ("context", Fault::TooLarge, |p| p.limits.max_context = u64::MAX),
            ("page", Fault::TooLarge, |p| p.kv.page_tokens = u64::MAX),
            ("no page", Fault::TooLarge, |p| p.kv.page_tokens = 0),
            ("buffer width", Fault::TooLarge, |p| p.program.buffers[3].width = u64::MAX),
            ("buffer offset", Fault::Buffer, |p| p.program.buffers[3].offset = u64::MAX - 63),
            ("arena", Fault::TooLarge, |p| p.memory.arena_bytes = u64::MAX),
            ("rows", Fault::TooLarge, |p| p.tensors[2].rows = u64::MAX),
            ("cols", Fault::TooLarge, |p| p.tensors[2].cols = 1 << 40),
            ("elements", Fault::TooLarge, |p| (p.tensors[2].rows, p.tensors[2].cols) = (1 << 31, 1 << 31)),
            ("part bytes", Fault::TensorParts, |p| p.tensors[2].parts[0].bytes = u64::MAX),
            ("part offset", Fault::PartPlace, |p| p.tensors[2].parts[0].offset = u64::MAX),
            ("source", Fault::TensorSources, |p| p.tensors[2].sources[0].shape = vec![u64::MAX, u64::MAX]),
            ("file size", Fault::FileSize, |p| p.weights[0].bytes = u64::MAX),
            ("header size", Fault::WeightsHeader, |p| p.weights[0].header_bytes = u64::MAX),
        ],
    );
}

#[test]
fn inconsistent_models_are_refused() {
    check(
        &make(SAMP),
        &[
            ("heads", Fault::Model, |p| p.model.kv_heads = 3),
            ("odd heads", Fault::Model, |p| p.model.head_dim = 15),
            ("bos", Fault::Model, |p| p.model.bos_token_id = Some(80)),
            ("eos", Fault::Model, |p| p.model.eos_token_ids = vec![1, u32::MAX]),
            ("too few frequencies", Fault::Model, |p| p.model.rope.inv_frequencies.truncate(7)),
            ("a frequency", Fault::Model, |p| p.model.rope.inv_frequencies[1] = -1.0),
            ("cache format", Fault::KvCache, |p| p.kv.format = Format::Nf4),
            ("cache scales", Fault::KvCache, |p| p.kv.scales = vec![[1.0; 2]; 2]),
            ("cache bytes", Fault::Memory, |p| p.memory.kv_bytes_per_token += 1),
            ("no buckets", Fault::Buckets, |p| p.program.buckets.clear()),
            ("falling buckets", Fault::Buckets, |p| p.program.buckets = vec![4, 1, 16]),
            ("equal buckets", Fault::Buckets, |p| p.program.buckets = vec![1, 1, 16]),
            ("low buckets", Fault::Buckets, |p| p.program.buckets = vec![1, 4, 8]),
            ("schema", Fault::SchemaVersion, |p| p.schema.major += 1),
            ("schema minor", Fault::SchemaVersion, |p| p.schema.minor += 9),
        ],
    );
    check(
        &make(Recipe { kv: KV_FP8, ..SAMP }),
        &[
            ("no scales", Fault::KvCache, |p| p.kv.scales.clear()),
            ("a scale of 0", Fault::KvCache, |p| p.kv.scales[1][0] = 0.0),
            ("a negative scale", Fault::KvCache, |p| p.kv.scales[1][1] = -1.0),
            ("a scale that no number is divided by", Fault::KvCache, |p| p.kv.scales[1][1] = 1e-40),
            ("a scale that makes codes infinite", Fault::KvCache, |p| p.kv.scales[1][1] = 1e37),
            ("an infinite scale", Fault::ManifestMalformed, |p| p.kv.scales[1][1] = f32::MAX * 2.0),
        ],
    );
}

#[test]
fn inconsistent_tensors_are_refused() {
    check(
        &make(SAMP),
        &[
            ("no name", Fault::TensorName, |p| p.tensors[1].name.clear()),
            ("taken name", Fault::TensorName, |p| p.tensors[1].name = p.tensors[2].name.clone()),
            ("columns", Fault::TensorShape, |p| tensor(p, "layers.0.mlp.down_proj").cols = 96),
            ("format", Fault::TensorParts, |p| tensor(p, "lm_head").format = Format::Bf16),
            ("layout", Fault::TensorParts, |p| tensor(p, "lm_head").layout = Layout::RowMajor),
            ("a layout for other formats", Fault::TensorShape, |p| {
                tensor(p, "norm").layout = Layout::MmaFragments;
            }),
            ("shape", Fault::TensorParts, |p| tensor(p, "lm_head").rows = 64),
            ("dtype", Fault::TensorParts, |p| tensor(p, "lm_head").parts[0].dtype = ElementType::Bf16),
            ("part shape", Fault::TensorParts, |p| tensor(p, "lm_head").parts[0].shape = vec![5120]),
            ("a part less", Fault::TensorParts, |p| drop(tensor(p, "layers.0.mlp.down_proj").parts.pop())),
            ("a part twice", Fault::TensorParts, |p| {
                let part = tensor(p, "lm_head").parts[0].clone();
                tensor(p, "lm_head").parts.push(part);
            }),
            ("no sources", Fault::TensorSources, |p| tensor(p, "lm_head").sources.clear()),
            ("sources", Fault::TensorSources, |p| tensor(p, "lm_head").sources[0].shape = vec![79, 64]),
            ("file", Fault::PartPlace, |p| tensor(p, "lm_head").parts[0].file = 2),
            ("offset", Fault::PartPlace, |p| tensor(p, "lm_head").parts[0].offset += 64),
            ("order", Fault::PartPlace, |p| p.tensors.swap(0, 2)),
            ("hash", Fault::PartHash, |p| tensor(p, "norm").parts[0].blake3 = hash(b"")),
            ("header hash", Fault::FileHash, |p| p.weights[1].header_blake3 = hash(b"")),
            ("weights bytes", Fault::Memory, |p| p.memory.weights_bytes -= 1),
        ],
    );
}

fn tensor<'a>(plan: &'a mut Plan, name: &str) -> &'a mut Tensor {
    plan.tensors.iter_mut().find(|t| t.name == name).unwrap()
}

#[test]
fn inconsistent_programs_are_refused() {
    check(
        &make(SAMP),
        &[
            ("unknown buffer", Fault::UnknownBuffer, |p| p.program.logits = BufferId(u32::MAX)),
            ("unknown operand", Fault::UnknownBuffer, |p| {
                let Op::SiluMul { gate_up, .. } = &mut step(p, "layers.0.mlp.act").op else { panic!() };
                *gate_up = BufferId(99);
            }),
            ("unknown tensor", Fault::UnknownTensor, |p| {
                let Op::RmsNorm { weight, .. } = &mut step(p, "norm").op else { panic!() };
                *weight = TensorId(u32::MAX);
            }),
            ("buffer type", Fault::Buffer, |p| p.program.buffers[2].dtype = ElementType::F16),
            ("buffer bytes", Fault::Buffer, |p| p.program.buffers[2].bytes -= 4),
            ("buffer offset", Fault::Buffer, |p| p.program.buffers[2].offset += 4),
            ("arena", Fault::Memory, |p| p.memory.arena_bytes += 64),
            ("small arena", Fault::Buffer, |p| p.memory.arena_bytes -= 64),
            ("overlap", Fault::Overlap, |p| p.program.buffers[2].offset = p.program.buffers[0].offset),
            ("partial overlap", Fault::Overlap, |p| {
                p.program.buffers[2].offset = p.program.buffers[1].offset + 64
            }),
            ("order", Fault::Dataflow, |p| p.program.steps.swap(2, 3)),
            ("written twice", Fault::Dataflow, |p| {
                let again = p.program.steps[2].clone();
                p.program.steps.insert(3, again);
            }),
            ("never written", Fault::Dataflow, |p| p.program.buffers.push(p.program.buffers[0].clone())),
            ("one operand twice", Fault::Dataflow, |p| {
                let Op::Add { a, b, .. } = &mut step(p, "layers.1.residual").op else { panic!() };
                *a = *b;
            }),
            ("unknown layer", Fault::CacheOrder, |p| layer(p, "layers.0.self_attn.rope", u64::MAX)),
            ("a layer's cache twice", Fault::CacheOrder, |p| layer(p, "layers.1.self_attn.rope", 0)),
            ("another layer's cache", Fault::CacheOrder, |p| layer(p, "layers.0.self_attn", 1)),
            ("sampler of a GPU", Fault::Kernel, |p| p.program.sampler = "sample_cuda".into()),
            ("no sampler", Fault::Kernel, |p| p.program.sampler = "gather_cpu".into()),
            ("logits elsewhere", Fault::OpShape, |p| p.program.logits.0 -= 1),
            ("steps missing", Fault::Dataflow, |p| p.program.steps.truncate(8)),
            ("eps", Fault::OpConstant, |p| {
                let Op::RmsNorm { eps, .. } = &mut step(p, "norm").op else { panic!() };
                *eps = -1e-5;
            }),
            ("matrices exchanged", Fault::Binding, |p| {
                let first = *weight(p, "layers.0.self_attn.o_proj");
                let second = std::mem::replace(weight(p, "layers.1.self_attn.o_proj"), first);
                *weight(p, "layers.0.self_attn.o_proj") = second;
            }),
            ("norms exchanged", Fault::Binding, |p| {
                let first = *norm(p, "layers.0.post_attention_layernorm");
                let second = std::mem::replace(norm(p, "layers.1.post_attention_layernorm"), first);
                *norm(p, "layers.0.post_attention_layernorm") = second;
            }),
            ("one matrix for two", Fault::Binding, |p| {
                let own = *weight(p, "layers.0.self_attn.o_proj");
                *weight(p, "layers.1.self_attn.o_proj") = own;
            }),
            ("a matrix of another shape", Fault::OpShape, |p| {
                let own = *weight(p, "layers.0.mlp.gate_up_proj");
                *weight(p, "layers.0.self_attn.o_proj") = own;
            }),
            ("tied", Fault::Binding, |p| p.model.tied_embeddings = true),
            ("hidden size", Fault::OpShape, |p| p.model.hidden_size = 128),
            ("heads", Fault::OpShape, |p| p.model.heads = 2),
            ("rows", Fault::OpShape, |p| p.program.buffers[1].rows = RowDim::Outputs),
        ],
    );
}

/// Linears in place of a joined one: each part in its place, and none of another block.
#[test]
fn parts_that_were_exchanged_are_refused() {
    fn parts<'a>(plan: &'a mut Plan, label: &str) -> &'a mut Vec<BufferId> {
        let Op::Concat { parts, .. } = &mut step(plan, label).op else { panic!("{label}") };
        parts
    }
    check(
        &make(Recipe { apart: true, ..SAMP }),
        &[
            ("keys for values", Fault::Binding, |p| parts(p, QKV).swap(1, 2)),
            ("gate for up", Fault::Binding, |p| parts(p, "layers.0.mlp.gate_up_proj").swap(0, 1)),
            ("another layer's values", Fault::Binding, |p| {
                let other = parts(p, QKV)[2];
                parts(p, "layers.1.self_attn.qkv_proj")[2] = other;
            }),
            ("weights of keys and values", Fault::Binding, |p| {
                let keys = *weight(p, "layers.0.self_attn.k_proj");
                let values = std::mem::replace(weight(p, "layers.0.self_attn.v_proj"), keys);
                *weight(p, "layers.0.self_attn.k_proj") = values;
            }),
            ("a part less", Fault::OpShape, |p| parts(p, QKV).truncate(2)),
            ("no part", Fault::OpShape, |p| parts(p, QKV).clear()),
            ("a part twice", Fault::Dataflow, |p| parts(p, QKV)[2] = parts(p, QKV)[1]),
            ("no linear", Fault::Binding, |p| {
                let Op::RmsNorm { out, .. } = step(p, "layers.0.input_layernorm").op else { panic!() };
                parts(p, QKV)[0] = out;
            }),
            ("another name", Fault::Binding, |p| step(p, QKV).label = "layers.0.self_attn.all_proj".into()),
            ("unknown buffer", Fault::UnknownBuffer, |p| parts(p, QKV)[1] = BufferId(999)),
            ("the result over a part", Fault::Overlap, |p| {
                let part = parts(p, QKV)[0].0 as usize;
                let offset = p.program.buffers[part].offset;
                let Op::Concat { out, .. } = step(p, QKV).op else { panic!() };
                p.program.buffers[out.0 as usize].offset = offset;
            }),
            ("another op's kernel", Fault::Kernel, |p| step(p, QKV).kernels[0].kernel = "add_cpu".into()),
        ],
    );
}

const QKV: &str = "layers.0.self_attn.qkv_proj";

fn weight<'a>(plan: &'a mut Plan, label: &str) -> &'a mut TensorId {
    let Op::Linear { weight, .. } = &mut step(plan, label).op else { panic!("{label}") };
    weight
}

fn norm<'a>(plan: &'a mut Plan, label: &str) -> &'a mut TensorId {
    let Op::AddRmsNorm { weight, .. } = &mut step(plan, label).op else { panic!("{label}") };
    weight
}

fn layer(plan: &mut Plan, label: &str, to: u64) {
    let (Op::RopeAppend { layer, .. } | Op::PagedAttention { layer, .. }) = &mut step(plan, label).op else {
        panic!("{label}")
    };
    *layer = to;
}

#[test]
fn tied_tables_are_shared_by_embedding_and_head_only() {
    check(
        &make(Recipe { tied: true, ..SAMP }),
        &[("untied", Fault::Binding, |p| p.model.tied_embeddings = false)],
    );
}

#[test]
fn kernels_that_do_not_fit_are_refused() {
    fn kernel<'a>(plan: &'a mut Plan, label: &str) -> &'a mut String {
        &mut step(plan, label).kernels[1].kernel
    }
    check(
        &make(SAMP),
        &[
            ("unknown", Fault::Kernel, |p| *kernel(p, "norm") = "rms_norm_dream".into()),
            ("another op's", Fault::Kernel, |p| *kernel(p, "norm") = "add_cpu".into()),
            ("another format's", Fault::Kernel, |p| {
                let other = kernel(p, "layers.0.self_attn.o_proj").clone();
                *kernel(p, "layers.0.mlp.down_proj") = other;
            }),
            ("another target's", Fault::Kernel, |p| p.target = TargetName::H200),
            ("one less", Fault::Kernel, |p| drop(step(p, "norm").kernels.pop())),
            ("another bucket's", Fault::Kernel, |p| step(p, "norm").kernels[0].max_tokens = 2),
        ],
    );
}

/// Whatever a manifest says, it is refused in words, or the plan runs: nothing panics in between.
#[test]
fn any_manifest_is_refused_or_runs() {
    let plan = make(SAMP);
    let sound = serde_json::to_value(plan.manifest()).unwrap();
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (mut refused, mut ran) = (0, 0);
    for _ in 0..2500 {
        let mut value = sound.clone();
        for _ in 0..random.random_range(1..3) {
            mutate(&mut value, &mut random);
        }
        let Ok(changed) = serde_json::from_value::<Plan>(value) else { continue };
        write_manifest(plan.path(), &changed);
        match open(plan.path()) {
            Err(_) => refused += 1,
            Ok(open) => {
                ran += 1;
                let options =
                    EngineOptions { kv_tokens: Some(64), self_test: false, ..EngineOptions::default() };
                let Ok(mut engine) = Engine::new(Arc::new(open), DeviceKind::Cpu, options) else { continue };
                let id = engine.create().unwrap();
                let _ = engine.append_tokens(id, &[1, 2, 3, 4, 5], Outputs::Last);
            }
        }
    }
    println!("{refused} refused, {ran} ran");
    assert!(refused > 500 && ran > 20, "{refused} refused, {ran} ran");
}

/// Changes one thing somewhere in a JSON document.
fn mutate(value: &mut Value, random: &mut TestRng) {
    let inside = random.random_range(0..12) > 0;
    match value {
        Value::Object(map) if inside && !map.is_empty() => {
            let at = random.random_range(0..map.len());
            mutate(map.values_mut().nth(at).unwrap(), random);
        }
        Value::Array(list) if !list.is_empty() => {
            let (at, other) = (random.random_range(0..list.len()), random.random_range(0..list.len()));
            match random.random_range(0..24) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[other].clone()),
                2 => list.swap(at, other),
                3 => list[at] = list[other].clone(),
                _ => mutate(&mut list[at], random),
            }
        }
        Value::Number(number) => {
            let old = number.as_u64().unwrap_or(1);
            let numbers = [0, 1, 2, 15, 64, 1 << 31, 1 << 32, 1 << 53, u64::MAX];
            *value = match random.random_range(0..5) {
                0 => old.wrapping_add(1).into(),
                1 => old.wrapping_sub(1).into(),
                2 => old.wrapping_mul(2).into(),
                3 => random.random::<f64>().into(),
                _ => numbers[random.random_range(0..numbers.len())].into(),
            };
        }
        Value::String(text) => {
            let words =
                ["", "norm", "f16", "nf4", "rows16", "row_major", "tokens", "outputs", "../x", "embed"];
            *text = words[random.random_range(0..words.len())].into();
        }
        Value::Bool(flag) => *flag = !*flag,
        other => *other = 7.into(),
    }
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    check(
        &make(SAMP),
        &[
            ("up", Fault::FilePath, |p| p.files[0].path = "../plan.mlir".into()),
            ("absolute", Fault::FilePath, |p| p.files[0].path = "/etc/passwd".into()),
            ("roundabout", Fault::FilePath, |p| p.files[1].path = "notes/./readme.txt".into()),
            ("empty", Fault::FilePath, |p| p.files[0].path = String::new()),
            ("nul", Fault::FilePath, |p| p.files[0].path = "a\0b".into()),
            ("twice", Fault::FilePath, |p| p.files.push(p.files[0].clone())),
            ("the manifest itself", Fault::FilePath, |p| p.files[0].path = MANIFEST_FILE.into()),
            ("weights", Fault::FilePath, |p| p.weights[0].path = "../weights".into()),
            ("weights twice", Fault::FilePath, |p| p.weights[0].path = p.weights[1].path.clone()),
        ],
    );
}

#[test]
fn probes_that_make_no_sense_are_refused() {
    let plan = make(SAMP);
    let path = plan.path().join(GOLDEN_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let cases: [(&str, &str); 7] = [
        ("[1,5,9,2,77,3,30]", "[1,5,9,2,80,3,30]"),
        ("[1,5,9,2,77,3,30]", "[]"),
        ("\"tolerance\":0.001", "\"tolerance\":0.0"),
        ("\"tolerance\":0.001", "\"tolerance\":-1"),
        ("\"position\":6", "\"position\":7"),
        ("[[0,", "[[81,"),
        ("\"tolerance\"", "\"other\":1,\"tolerance\""),
    ];
    for (from, to) in cases {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        fs::write(&path, &changed).unwrap();
        plan.edit(|plan| {
            let file = plan.files.iter_mut().find(|f| f.path == GOLDEN_FILE).unwrap();
            (file.bytes, file.blake3) = (changed.len() as u64, hash(changed.as_bytes()));
        });
        let findings = validate(plan.path());
        assert!(
            findings.iter().all(|f| f.fault == Fault::Golden) && !findings.is_empty(),
            "{to}: {findings:?}"
        );
    }
    plan.edit(|plan| plan.files.retain(|f| f.path != GOLDEN_FILE));
    fs::remove_file(&path).unwrap();
    assert_eq!(validate(plan.path()).iter().map(|f| f.fault).collect::<Vec<_>>(), [Fault::Golden]);
}

/// Writes into a part of a tensor, and hashes it anew.
fn overwrite(plan: &TinyPlan, name: &str, component: Component, (at, bytes): (usize, &[u8])) {
    plan.edit(|manifest| {
        let part = tensor(manifest, name).parts.iter_mut().find(|p| p.component == component).unwrap();
        let path = plan.path().join(weights_file_name(part.file as usize, 2));
        let mut file = fs::read(&path).unwrap();
        let start = part.offset as usize;
        file[start + at..][..bytes.len()].copy_from_slice(bytes);
        part.blake3 = hash(&file[start..start + part.bytes as usize]);
        fs::write(&path, file).unwrap();
    });
}

#[test]
fn values_that_no_encoder_writes_are_refused() {
    let asymmetric = Format::Int4 { group: Group::G64, zero_point: true };
    let with_outliers = Format::Int8 { outliers: true };
    let nan = f32::NAN.to_le_bytes();
    type Change<'a> = (usize, &'a [u8]);
    let (zero, negative, absurd) = (0f32.to_le_bytes(), (-1f32).to_le_bytes(), 1e37f32.to_le_bytes());
    let cases: [(Format, &str, Component, Change); 8] = [
        (SAMP.attention, QKV, Component::Scales, (4, &zero)),
        (SAMP.attention, QKV, Component::Scales, (8, &negative)),
        (SAMP.attention, QKV, Component::Scales, (0, &absurd)),
        (with_outliers, QKV, Component::Scales, (0, &absurd)),
        (SAMP.attention, "norm", Component::Values, (0, &nan)),
        (SAMP.attention, QKV, Component::Values, (1, &[0xFF])),
        (asymmetric, QKV, Component::ZeroPoints, (3, &[16])),
        // Row 2 of column 3, which is kept apart, in tiles of 16 rows.
        (with_outliers, QKV, Component::Values, (3 * 16 + 2, &[1])),
    ];
    for (attention, name, component, change) in cases {
        let plan = make(Recipe { attention, ..SAMP });
        overwrite(&plan, name, component, change);
        let faults: Vec<Fault> = validate(plan.path()).iter().map(|f| f.fault).collect();
        assert_eq!(faults, [Fault::PartValues], "{attention} {name}");
    }
}
