//! Plans of a two-layer model with random weights, made without the compiler.

use std::{fs, path::Path, sync::Arc};

use samp_abi::{Component, ElementType, Format, Layout, ScaleAxis, TargetName, plan::*};
use samp_kernels::{
    format::{RowSource, encode},
    kernel::OpShape,
    layout::pack,
    registry::candidates,
    target::Target,
};
use samp_runtime::{DeviceKind, Engine, EngineOptions, Outputs, open, open_staged};
use tempfile::TempDir;

pub const FP8: Format = Format::Fp8E4m3(ScaleAxis::Channel);
pub const KV_FP8: Format = Format::Fp8E4m3(ScaleAxis::Tensor);

const HIDDEN: u64 = 64;
const INTERMEDIATE: u64 = 128;
const HEADS: u64 = 4;
const KV_HEADS: u64 = 2;
const HEAD_DIM: u64 = 16;
pub const VOCAB: u64 = 80;
const PROBE: [u32; 7] = [1, 5, 9, 2, 77, 3, 30];

/// What tests vary.
#[derive(Clone, Copy)]
pub struct Recipe {
    pub attention: Format,
    pub mlp: Format,
    pub embedding: Format,
    pub kv: Format,
    pub tied: bool,
    pub bias: bool,
    pub window: Option<u64>,
    pub in_place: bool,
    /// Members of joined linears apart, each in a format of its own, then put together.
    pub apart: bool,
}

pub const SAMP: Recipe = Recipe {
    attention: FP8,
    mlp: Format::Nf4,
    embedding: Format::F16,
    kv: Format::F16,
    tied: false,
    bias: false,
    window: None,
    in_place: true,
    apart: false,
};

/// A published plan in a directory of its own.
pub struct TinyPlan {
    pub dir: TempDir,
}

impl TinyPlan {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn manifest(&self) -> Plan {
        let bytes = fs::read(self.path().join(MANIFEST_FILE)).unwrap();
        unseal(&bytes, hash).unwrap()
    }

    /// Changes the manifest and seals it anew, as someone who knows the format would.
    pub fn edit(&self, change: impl FnOnce(&mut Plan)) {
        let mut plan = self.manifest();
        change(&mut plan);
        write_manifest(self.path(), &plan);
    }

    /// Adds a file, and seals the manifest anew.
    pub fn add(&self, name: &str, bytes: &[u8]) {
        self.edit(|plan| add_file(plan, self.path(), name, bytes));
    }

    pub fn engine(&self, device: DeviceKind, kv_tokens: Option<u64>) -> Engine {
        let plan = open(self.path()).unwrap_or_else(|e| panic!("{e}"));
        Engine::new(
            Arc::new(plan),
            device,
            EngineOptions { kv_tokens, self_test: false, ..EngineOptions::default() },
        )
        .unwrap()
    }
}

/// A file of the shipped checkpoint.
pub fn tiny_llama(file: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/models/tiny-llama");
    fs::read(dir.join(file)).unwrap()
}

pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

pub fn write_manifest(dir: &Path, plan: &Plan) {
    fs::write(dir.join(MANIFEST_FILE), seal(plan, hash)).unwrap();
}

/// Makes a plan with a golden probe from its own reference run.
pub fn make(recipe: Recipe) -> TinyPlan {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = Builder::new(recipe).finish(dir.path());
    for (path, text) in [("plan.mlir", "module {}\n"), ("notes/readme.txt", "a file in a folder\n")] {
        fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        add_file(&mut plan, dir.path(), path, text.as_bytes());
    }
    write_manifest(dir.path(), &plan);
    let golden = serde_json::to_vec(&probe(dir.path())).unwrap();
    add_file(&mut plan, dir.path(), GOLDEN_FILE, &golden);
    write_manifest(dir.path(), &plan);
    TinyPlan { dir }
}

fn add_file(plan: &mut Plan, dir: &Path, path: &str, bytes: &[u8]) {
    fs::write(dir.join(path), bytes).unwrap();
    plan.files.push(PlainFile { path: path.into(), bytes: bytes.len() as u64, blake3: hash(bytes) });
}

fn probe(dir: &Path) -> Golden {
    let plan = open_staged(dir).unwrap_or_else(|e| panic!("{e}"));
    let options = EngineOptions { kv_tokens: None, ..EngineOptions::default() };
    let mut engine = Engine::new(Arc::new(plan), DeviceKind::Reference, options).unwrap();
    let id = engine.create().unwrap();
    let logits = engine.append_tokens(id, &PROBE, Outputs::All).unwrap();
    let row = |position: usize| GoldenRow {
        position: position as u32,
        logits: logits.row(position).iter().enumerate().map(|(t, l)| (t as u32, *l)).step_by(7).collect(),
    };
    Golden { token_ids: PROBE.to_vec(), tolerance: 1e-3, rows: vec![row(2), row(6)] }
}

/// Numbers of a linear congruential generator (Knuth), roughly normal.
struct Weights {
    cols: usize,
    seed: u64,
    around: f32,
    spread: f32,
}

impl RowSource for Weights {
    fn read(&self, first: usize, out: &mut [f32]) {
        for (index, value) in out.iter_mut().enumerate() {
            let mut state =
                self.seed ^ ((first * self.cols + index) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut sum = 0.0;
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                sum += (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            }
            *value = self.around + self.spread * sum;
        }
    }
}

struct Builder {
    recipe: Recipe,
    plan: Plan,
    data: Vec<Vec<u8>>,
}

impl Builder {
    fn new(recipe: Recipe) -> Builder {
        let pairs = HEAD_DIM / 2;
        let model = Model {
            architecture: Architecture::LlamaForCausalLM,
            hidden_size: HIDDEN,
            intermediate_size: INTERMEDIATE,
            layers: 2,
            heads: HEADS,
            kv_heads: KV_HEADS,
            head_dim: HEAD_DIM,
            vocab_size: VOCAB,
            rope: Rope {
                inv_frequencies: (0..pairs).map(|i| 1e4f64.powf(-(i as f64) / pairs as f64)).collect(),
                rotary_dim: None,
                scale: 1.0,
            },
            sliding_window: recipe.window,
            full_attention_layers: vec![],
            unturned_layers: vec![],
            embedding_scale: 1.0,
            tied_embeddings: recipe.tied,
            bos_token_id: Some(1),
            eos_token_ids: vec![2],
        };
        let scales = if recipe.kv == KV_FP8 { vec![[0.01, 0.02]; 2] } else { vec![] };
        let kv = KvCache { format: recipe.kv, page_tokens: 4, scales };
        let memory =
            Memory { weights_bytes: 0, arena_bytes: 0, kv_bytes_per_token: kv.bytes_per_token(&model) };
        let plan = Plan {
            schema: SCHEMA_VERSION,
            digest: String::new(),
            target: TargetName::Cpu,
            model,
            limits: Limits { max_tokens: 16, max_sequences: 4, max_context: 48 },
            kv,
            program: Program {
                buckets: vec![1, 4, 16],
                buffers: vec![],
                steps: vec![],
                logits: BufferId(0),
                sampler: "sample_cpu".into(),
            },
            memory,
            tensors: vec![],
            weights: vec![],
            files: vec![],
            provenance: Provenance {
                name: None,
                tool: "tests".into(),
                recipe: "tests".into(),
                sources: vec![],
            },
        };
        Builder { recipe, plan, data: vec![] }
    }

    fn tensor(&mut self, name: &str, format: Format, [rows, cols]: [u64; 2], layout: Layout) -> TensorId {
        let vector = rows == 1;
        let (around, spread) = if name.ends_with("norm") { (1.0, 0.2) } else { (0.0, 0.15) };
        let seed =
            name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let source = Weights { cols: cols as usize, seed, around, spread };
        let outliers: &[u32] = if format == (Format::Int8 { outliers: true }) { &[3, 9] } else { &[] };
        let encoded = encode(format, rows as usize, cols as usize, &source, outliers).unwrap();
        let packed = pack(encoded.view(), layout);
        let specs = layout.components(format, rows, cols, outliers.len() as u64);
        let file = (self.plan.tensors.len() % 2) as u32;
        let part = |(spec, (component, bytes)): (samp_abi::ComponentSpec, &(Component, _))| {
            let bytes: &samp_kernels::encoded::AlignedBytes = bytes;
            self.data.push(bytes.to_vec());
            assert_eq!((spec.component, spec.bytes()), (*component, bytes.len() as u64));
            StoredComponent {
                component: *component,
                dtype: spec.dtype,
                bytes: spec.bytes(),
                shape: spec.shape,
                file,
                offset: 0,
                blake3: hash(bytes),
            }
        };
        let parts = specs.into_iter().zip(&packed.parts).map(part).collect();
        let shape = if vector { vec![cols] } else { vec![rows, cols] };
        let sources = vec![Source { name: format!("model.{name}"), shape, blake3: hash(name.as_bytes()) }];
        self.plan.tensors.push(Tensor { name: name.into(), sources, format, layout, rows, cols, parts });
        TensorId(self.plan.tensors.len() as u32 - 1)
    }

    fn vector(&mut self, name: &str, cols: u64) -> TensorId {
        self.tensor(name, Format::F32, [1, cols], Layout::RowMajor)
    }

    fn buffer(&mut self, rows: RowDim, width: u64) -> BufferId {
        let offset = self.plan.memory.arena_bytes;
        let bytes = self.plan.limits.max_tokens * width * 4;
        self.plan.memory.arena_bytes = (offset + bytes).next_multiple_of(64);
        self.plan.program.buffers.push(Buffer { rows, width, dtype: ElementType::F32, offset, bytes });
        BufferId(self.plan.program.buffers.len() as u32 - 1)
    }

    /// A buffer over the very range of another.
    fn over(&mut self, other: BufferId) -> BufferId {
        let buffer = self.plan.program.buffers[other.0 as usize].clone();
        self.plan.program.buffers.push(buffer);
        BufferId(self.plan.program.buffers.len() as u32 - 1)
    }

    fn step(&mut self, label: &str, op: Op) {
        let shape = |tokens: u64| {
            let weight = match &op {
                Op::Embed { weight, .. } | Op::Linear { weight, .. } => {
                    Some(&self.plan.tensors[weight.0 as usize])
                }
                _ => None,
            };
            OpShape {
                tokens,
                rows: weight.map_or(HIDDEN, |w| w.rows),
                cols: weight.map_or(0, |w| w.cols),
                format: weight.map(|w| w.format).or(Some(self.recipe.kv)),
                activations: ElementType::F32,
                context: 48,
            }
        };
        let choose = |&max_tokens: &u64| {
            // Of the exact ones, so that both devices give the same.
            let mut candidates = candidates(Target::of(TargetName::Cpu), op.kind(), shape(max_tokens));
            let kernel = candidates.find(|kernel| !kernel.rounds_inputs);
            KernelChoice { max_tokens, kernel: kernel.expect("a kernel for the step").name.into() }
        };
        let kernels = self.plan.program.buckets.iter().map(choose).collect();
        self.plan.program.steps.push(Step { label: label.into(), op, kernels });
    }

    fn linear(&mut self, label: &str, x: BufferId, rows: u64, format: Format) -> BufferId {
        let Buffer { rows: count, width, .. } = self.plan.program.buffers[x.0 as usize];
        let weight = self.tensor(label, format, [rows, width], Layout::Rows16);
        let has_bias = self.recipe.bias && label.starts_with("layers");
        let bias = has_bias.then(|| self.vector(&format!("{label}.bias"), rows));
        let out = self.buffer(count, rows);
        self.step(label, Op::Linear { x, weight, bias, out });
        out
    }

    /// A linear for each member, and their results side by side.
    fn joined(&mut self, block: &str, label: &str, x: BufferId, members: &[(&str, u64, Format)]) -> BufferId {
        let part = |&(member, rows, format): &(&str, u64, Format)| {
            self.linear(&format!("{block}{member}"), x, rows, format)
        };
        let parts = members.iter().map(part).collect();
        let out = self.buffer(RowDim::Tokens, members.iter().map(|member| member.1).sum());
        self.step(&format!("{block}{label}"), Op::Concat { parts, out });
        out
    }

    fn add_norm(&mut self, label: &str, x: BufferId, residual: BufferId) -> (BufferId, BufferId) {
        let weight = self.vector(label, HIDDEN);
        let sum =
            if self.recipe.in_place { self.over(residual) } else { self.buffer(RowDim::Tokens, HIDDEN) };
        let out = self.buffer(RowDim::Tokens, HIDDEN);
        self.step(label, Op::AddRmsNorm { x, residual, weight, eps: 1e-5, sum, out });
        (sum, out)
    }

    fn finish(mut self, dir: &Path) -> Plan {
        use RowDim::{Outputs, Tokens};
        let Recipe { attention, mlp, embedding, tied, .. } = self.recipe;
        let layout = if tied { Layout::Rows16 } else { Layout::RowMajor };
        let table = self.tensor("embed_tokens", embedding, [VOCAB, HIDDEN], layout);
        let mut residual = self.buffer(Tokens, HIDDEN);
        self.step("embed_tokens", Op::Embed { weight: table, out: residual });
        let weight = self.vector("layers.0.input_layernorm", HIDDEN);
        let mut x = self.buffer(Tokens, HIDDEN);
        self.step("layers.0.input_layernorm", Op::RmsNorm { x: residual, weight, eps: 1e-5, out: x });
        for layer in 0..2 {
            let name = |part: &str| format!("layers.{layer}.{part}");
            let qkv = (HEADS + 2 * KV_HEADS) * HEAD_DIM;
            let qkv = if self.recipe.apart {
                let [q, kv] = [HEADS, KV_HEADS].map(|heads| heads * HEAD_DIM);
                let members = [("q_proj", q, attention), ("k_proj", kv, Format::F16), ("v_proj", kv, FP8)];
                self.joined(&name("self_attn."), "qkv_proj", x, &members)
            } else {
                self.linear(&name("self_attn.qkv_proj"), x, qkv, attention)
            };
            let q = self.buffer(Tokens, HEADS * HEAD_DIM);
            self.step(&name("self_attn.rope"), Op::RopeAppend { qkv, layer, out: q });
            let attended = self.buffer(Tokens, HEADS * HEAD_DIM);
            self.step(&name("self_attn"), Op::PagedAttention { q, layer, out: attended });
            let o = self.linear(&name("self_attn.o_proj"), attended, HIDDEN, attention);
            (residual, x) = self.add_norm(&name("post_attention_layernorm"), o, residual);
            let gate_up = if self.recipe.apart {
                let members = [("gate_proj", INTERMEDIATE, mlp), ("up_proj", INTERMEDIATE, Format::F16)];
                self.joined(&name("mlp."), "gate_up_proj", x, &members)
            } else {
                self.linear(&name("mlp.gate_up_proj"), x, 2 * INTERMEDIATE, mlp)
            };
            let act = self.buffer(Tokens, INTERMEDIATE);
            self.step(&name("mlp.act"), Op::SiluMul { gate_up, out: act });
            let down = self.linear(&name("mlp.down_proj"), act, HIDDEN, mlp);
            if layer == 0 {
                (residual, x) = self.add_norm("layers.1.input_layernorm", down, residual);
            } else {
                let sum = self.buffer(Tokens, HIDDEN);
                self.step("layers.1.residual", Op::Add { a: down, b: residual, out: sum });
                residual = sum;
            }
        }
        let gathered = self.buffer(Outputs, HIDDEN);
        self.step("outputs", Op::Gather { x: residual, out: gathered });
        let weight = self.vector("norm", HIDDEN);
        let normed = self.buffer(Outputs, HIDDEN);
        self.step("norm", Op::RmsNorm { x: gathered, weight, eps: 1e-5, out: normed });
        self.plan.program.logits = if tied {
            let out = self.buffer(Outputs, VOCAB);
            self.step("lm_head", Op::Linear { x: normed, weight: table, bias: None, out });
            out
        } else {
            self.linear("lm_head", normed, VOCAB, embedding)
        };
        self.write_weights(dir);
        self.plan
    }

    fn write_weights(&mut self, dir: &Path) {
        for index in 0..2 {
            let header = weights_header(&self.plan.tensors, index).unwrap();
            let mut bytes = header.clone();
            let parts = self.plan.tensors.iter_mut().flat_map(|t| &mut t.parts);
            for (part, data) in parts.zip(&self.data).filter(|(part, _)| part.file == index) {
                part.offset = bytes.len() as u64;
                bytes.extend_from_slice(data);
                bytes.resize(bytes.len().next_multiple_of(64), 0);
                self.plan.memory.weights_bytes += part.bytes;
            }
            let path = weights_file_name(index as usize, 2);
            fs::write(dir.join(&path), &bytes).unwrap();
            self.plan.weights.push(WeightsFile {
                path,
                bytes: bytes.len() as u64,
                header_bytes: header.len() as u64,
                header_blake3: hash(&header),
            });
        }
    }
}
