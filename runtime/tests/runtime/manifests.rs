//! Manifests that are well formed and sealed, and wrong: each is refused for what is wrong with it.

use samp_abi::{ElementType, Format, Layout, TargetName, plan::*};
use samp_runtime::{Fault, open, validate};

use crate::support::{KV_FP8, Recipe, SAMP, TinyPlan, hash, make, write_manifest};

pub type Case = (&'static str, Fault, fn(&mut Plan));

fn step<'a>(plan: &'a mut Plan, label: &str) -> &'a mut Step {
    plan.program.steps.iter_mut().find(|s| s.label == label).unwrap()
}

/// Every case is found, and `open` gives the first of its faults.
pub fn check(plan: &TinyPlan, cases: &[Case]) {
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
            ("a part of fewer channels", Fault::Model, |p| p.model.rope.rotary_dim = Some(14)),
            ("a part of no channels", Fault::Model, |p| {
                p.model.rope.rotary_dim = Some(0);
                p.model.rope.inv_frequencies.clear();
            }),
            ("channels that are multiplied by nothing", Fault::Model, |p| p.model.rope.scale = 0.0),
            ("rows that are multiplied by nothing", Fault::Model, |p| p.model.embedding_scale = -1.0),
            ("a layer that is not there", Fault::Model, |p| p.model.unturned_layers = vec![0, 1 << 20]),
            ("a layer twice", Fault::Model, |p| p.model.unturned_layers = vec![0, 0]),
            ("all of no window", Fault::Model, |p| p.model.full_attention_layers = vec![0]),
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

pub fn tensor<'a>(plan: &'a mut Plan, name: &str) -> &'a mut Tensor {
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

pub const QKV: &str = "layers.0.self_attn.qkv_proj";

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
