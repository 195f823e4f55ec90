//! Emission of a small made-up model: a few tensors of every kind of format, in several weights files.

mod process;
mod published;
mod refused;
mod resume;

use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use safetensors::{Dtype, tensor::TensorView};
use samp_abi::{
    ElementType, Format, Layout, TargetName,
    plan::{
        Architecture, Buffer, BufferId, KvCache, Limits, Model, Op, Program, Rope, RowDim, Step, TensorId,
    },
};

use super::*;
use crate::{
    certificate::Certificate,
    lower::{SourceSpec, TensorSpec},
};
use samp_runtime::Silent;

const COLS: u64 = 128;
const VOCAB: u64 = 64;

/// A checkpoint and a specification over it, in a folder of their own.
struct Fixture {
    folder: tempfile::TempDir,
    spec: PlanSpec,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let tensors = tensors();
        write_checkpoint(folder.path(), &tensors);
        let carried = vec![CarriedFile::at("config.json", folder.path().join("config.json"))];
        Fixture { spec: spec(tensors, carried), folder }
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::open(self.folder.path()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Emits to `name` in the fixture's folder.
    fn emit(&self, name: &str, threads: usize, progress: &dyn Progress) -> Result<Emitted, EmitError> {
        self.emit_to(&self.path(name), threads, false, progress)
    }

    fn emit_to(
        &self,
        out: &Path,
        threads: usize,
        force: bool,
        progress: &dyn Progress,
    ) -> Result<Emitted, EmitError> {
        let options = EmitOptions {
            out,
            force,
            threads,
            memory_budget: 100_000,
            progress,
            probe: &probe,
            encoded_weights: None,
            certificate: &Certificate::new(&self.spec, None, &[]).to_text(),
        };
        emit(&self.spec, &self.checkpoint(), &options)
    }
}

/// Logits that depend on every byte of the weights files.
fn probe(plan: &Path, tokens: &[u32], positions: &[u32]) -> Result<ProbeLogits, ProbeError> {
    let manifest = fs::read(plan.join("plan.json")).unwrap();
    let manifest = samp_abi::plan::unseal(&manifest, hash::blake3_hex).unwrap();
    let hashes: Vec<u32> =
        (manifest.weights.iter()).map(|f| crc(&fs::read(plan.join(&f.path)).unwrap_or_default())).collect();
    let logit = |position: u32, token: u64| {
        let seed = format!("{hashes:?} {tokens:?} {position} {token}");
        (crc(seed.as_bytes()) % 1000) as f32 / 100.0
    };
    let row = |&position: &u32| (0..VOCAB).map(|token| logit(position, token)).collect();
    Ok(unrounded(positions.iter().map(row).collect()))
}

/// Logits that rounding would not change.
fn unrounded(exact: Vec<Vec<f32>>) -> ProbeLogits {
    ProbeLogits { rounded: exact.clone(), exact }
}

fn crc(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(*blake3::hash(bytes).as_bytes().first_chunk().unwrap())
}

/// Stops after so many tensors.
struct StopAfter(AtomicUsize);

impl StopAfter {
    fn new(tensors: usize) -> StopAfter {
        StopAfter(AtomicUsize::new(tensors))
    }
}

impl Progress for StopAfter {
    fn advance(&self, _: &str, _: u64) -> ControlFlow<()> {
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            1 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn tensor(name: &str, sources: &[(&str, u64)], format: Format, layout: Layout) -> TensorSpec {
    let source = |&(name, rows): &(&str, u64)| SourceSpec {
        name: format!("model.{name}"),
        dtype: if rows % 3 == 0 { ElementType::F16 } else { ElementType::Bf16 },
        shape: if rows == 1 { vec![COLS] } else { vec![rows, COLS] },
    };
    let rows = sources.iter().map(|(_, rows)| rows).sum();
    let sources = sources.iter().map(source).collect();
    TensorSpec { name: name.into(), sources, transforms: vec![], format, layout, rows, cols: COLS }
}

fn tensors() -> Vec<TensorSpec> {
    use Layout::{RowMajor, Rows16};
    let fp8 = Format::Fp8E4m3(samp_abi::ScaleAxis::Channel);
    vec![
        tensor("embed_tokens", &[("embed", VOCAB)], Format::F16, RowMajor),
        tensor("layers.0.input_layernorm", &[("norm0", 1)], Format::F32, RowMajor),
        tensor("layers.0.self_attn.qkv_proj", &[("q", 30), ("k", 10), ("v", 10)], fp8, Rows16),
        tensor("layers.0.mlp.gate_up_proj", &[("gate", 60), ("up", 60)], Format::Nf4, Rows16),
        tensor("norm", &[("norm", 1)], Format::F32, RowMajor),
        tensor("lm_head", &[("head", VOCAB)], Format::F16, Rows16),
    ]
}

fn write_checkpoint(folder: &Path, tensors: &[TensorSpec]) {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 32_768.0 - 1.0
    };
    let mut data: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for source in tensors.iter().flat_map(|t| &t.sources) {
        let (dtype, bytes) = match source.dtype {
            ElementType::F16 => {
                (Dtype::F16, two_bytes(source.elements(), || half::f16::from_f32(random()).to_bits()))
            }
            _ => (Dtype::BF16, two_bytes(source.elements(), || half::bf16::from_f32(random()).to_bits())),
        };
        let shape = source.shape.iter().map(|&n| n as usize).collect();
        data.insert(source.name.clone(), (dtype, shape, bytes));
    }
    let views = data
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
}

fn two_bytes(elements: u64, mut next: impl FnMut() -> u16) -> Vec<u8> {
    (0..elements).flat_map(|_| next().to_le_bytes()).collect()
}

fn spec(tensors: Vec<TensorSpec>, carried: Vec<CarriedFile>) -> PlanSpec {
    let linear = |weight, x, out| Op::Linear {
        x: BufferId(x),
        weight: TensorId(weight),
        bias: None,
        out: BufferId(out),
    };
    let step = |(label, op): (&str, Op)| Step { label: label.into(), op, kernels: vec![] };
    let steps = [
        ("embed_tokens", Op::Embed { weight: TensorId(0), out: BufferId(0) }),
        ("layers.0.self_attn.qkv_proj", linear(2, 0, 1)),
        ("lm_head", linear(5, 1, 0)),
    ];
    let buffer =
        Buffer { rows: RowDim::Tokens, width: COLS, dtype: ElementType::F32, offset: 0, bytes: 4 * COLS };
    PlanSpec {
        target: TargetName::Cpu,
        model: Model {
            architecture: Architecture::LlamaForCausalLM,
            hidden_size: COLS,
            intermediate_size: 60,
            layers: 1,
            heads: 3,
            kv_heads: 1,
            head_dim: 10,
            vocab_size: VOCAB,
            rope: Rope { inv_frequencies: vec![1.0, 0.1, 1e-5, 0.3, 0.7], rotary_dim: None, scale: 1.0 },
            sliding_window: None,
            full_attention_layers: vec![],
            unturned_layers: vec![],
            embedding_scale: 1.0,
            tied_embeddings: false,
            bos_token_id: Some(1),
            eos_token_ids: vec![2],
        },
        limits: Limits { max_tokens: 16, max_sequences: 2, max_context: 64 },
        kv: KvCache { format: Format::F16, page_tokens: 16, scales: vec![] },
        program: Program {
            buckets: vec![16],
            buffers: vec![buffer.clone(), buffer],
            steps: steps.into_iter().map(step).collect(),
            logits: BufferId(0),
            sampler: "sample_cpu".into(),
        },
        arena_bytes: 8 * COLS,
        tensors,
        mlir: "module {}\n".into(),
        name: Some("made-up".into()),
        recipe: "samp".into(),
        carried,
        rounded: None,
        max_file_bytes: 20_000,
    }
}

/// Every file below `folder` with its bytes.
fn read_all(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}
