//! The steps of a model, as the compiler fuses them.

use samp_abi::{
    ElementType, Format, Layout,
    plan::{
        Buffer, BufferId, Limits, Op, PART_ALIGNMENT, Part, Program, RowDim, Source, Step, Tensor, TensorId,
    },
};

use super::SyntheticPlan;
use crate::shapes::Projection;

const EPS: f64 = 1e-5;

/// A program still without kernels, and what it is over.
pub(super) struct Built {
    pub program: Program,
    pub tensors: Vec<Tensor>,
    pub arena_bytes: u64,
}

impl SyntheticPlan {
    /// The model as steps, with activations of this type.
    pub(super) fn program(&self, activations: ElementType) -> Built {
        let mut arena = Arena { limits: self.limits, end: 0 };
        let places = Places::new(self, activations, &mut arena);
        let mut model = Builder { outline: self, places, tensors: vec![], buffers: vec![], steps: vec![] };
        let logits = model.all();
        let Builder { tensors, buffers, steps, .. } = model;
        let (buckets, sampler) = (vec![self.limits.max_tokens], String::new());
        let program = Program { buckets, buffers, steps, logits, sampler };
        Built { program, tensors, arena_bytes: arena.end }
    }
}

/// Where results lie: every layer's in the same places.
struct Places {
    /// The residual stream, and where it ends up.
    stream: Buffer,
    last: Buffer,
    normed: Buffer,
    qkv: Buffer,
    q: Buffer,
    attended: Buffer,
    /// What goes back to the residual stream.
    back: Buffer,
    gate_up: Buffer,
    activated: Buffer,
    outputs: Buffer,
    normed_outputs: Buffer,
    logits: Buffer,
}

struct Arena {
    limits: Limits,
    end: u64,
}

impl Arena {
    fn place(&mut self, rows: RowDim, width: u32, dtype: ElementType) -> Buffer {
        let (width, offset) = (u64::from(width), self.end);
        let bytes = self.limits.max_tokens * width * dtype.bytes();
        self.end = (offset + bytes).next_multiple_of(PART_ALIGNMENT);
        Buffer { rows, width, dtype, offset, bytes }
    }
}

impl Places {
    fn new(outline: &SyntheticPlan, activations: ElementType, arena: &mut Arena) -> Places {
        let sizes = &outline.sizes;
        let (heads, hidden) = (sizes.heads * sizes.head_dim, sizes.hidden);
        let (tokens, outputs, wide) = (RowDim::Tokens, RowDim::Outputs, ElementType::F32);
        let mut activation = |width| arena.place(tokens, width, activations);
        Places {
            normed: activation(hidden),
            qkv: activation(sizes.of(Projection::Qkv).0),
            q: activation(heads),
            attended: activation(heads),
            back: activation(hidden),
            gate_up: activation(2 * sizes.intermediate),
            activated: activation(sizes.intermediate),
            stream: arena.place(tokens, hidden, wide),
            last: arena.place(tokens, hidden, wide),
            outputs: arena.place(outputs, hidden, wide),
            normed_outputs: arena.place(outputs, hidden, activations),
            logits: arena.place(outputs, sizes.vocab, wide),
        }
    }
}

struct Builder<'a> {
    outline: &'a SyntheticPlan,
    places: Places,
    tensors: Vec<Tensor>,
    buffers: Vec<Buffer>,
    steps: Vec<Step>,
}

impl Builder<'_> {
    /// All steps; gives the logits.
    fn all(&mut self) -> BufferId {
        let sizes = self.outline.sizes;
        let (format, shape) = (self.outline.recipe.tables(), (sizes.vocab, sizes.hidden));
        let weight = self.tensor("embed_tokens", (format, Layout::RowMajor), shape);
        let mut stream = self.result(|places| &places.stream);
        self.step("embed_tokens", Op::Embed { weight, out: stream });
        let label = "layers.0.input_layernorm";
        let mut x = self.result(|places| &places.normed);
        let weight = self.norm(label);
        self.step(label, Op::RmsNorm { x: stream, weight, eps: EPS, out: x });
        for layer in 0..sizes.layers {
            let back = self.attention(layer, x);
            (stream, x) = self.add_norm(&format!("layers.{layer}.post_attention_layernorm"), back, stream);
            let back = self.mlp(layer, x);
            if layer + 1 == sizes.layers {
                return self.head(back, stream);
            }
            (stream, x) = self.add_norm(&format!("layers.{}.input_layernorm", layer + 1), back, stream);
        }
        unreachable!("a model has layers")
    }

    fn attention(&mut self, layer: u32, x: BufferId) -> BufferId {
        let qkv = self.linear(Some(layer), Projection::Qkv, x, |places| &places.qkv);
        let [q, attended] = [self.result(|places| &places.q), self.result(|places| &places.attended)];
        let (label, layer_index) = (format!("layers.{layer}.self_attn"), u64::from(layer));
        self.step(&format!("{label}.rope"), Op::RopeAppend { qkv, layer: layer_index, out: q });
        self.step(&label, Op::PagedAttention { q, layer: layer_index, out: attended });
        self.linear(Some(layer), Projection::O, attended, |places| &places.back)
    }

    fn mlp(&mut self, layer: u32, x: BufferId) -> BufferId {
        let gate_up = self.linear(Some(layer), Projection::GateUp, x, |places| &places.gate_up);
        let out = self.result(|places| &places.activated);
        self.step(&format!("layers.{layer}.mlp.act"), Op::SiluMul { gate_up, out });
        self.linear(Some(layer), Projection::Down, out, |places| &places.back)
    }

    /// The sum, in the place of the residual, and what comes of it.
    fn add_norm(&mut self, label: &str, x: BufferId, residual: BufferId) -> (BufferId, BufferId) {
        let [sum, out] = [self.result(|places| &places.stream), self.result(|places| &places.normed)];
        let weight = self.norm(label);
        self.step(label, Op::AddRmsNorm { x, residual, weight, eps: EPS, sum, out });
        (sum, out)
    }

    fn head(&mut self, back: BufferId, stream: BufferId) -> BufferId {
        let last = self.result(|places| &places.last);
        let layer = self.outline.sizes.layers - 1;
        self.step(&format!("layers.{layer}.mlp.residual"), Op::Add { a: stream, b: back, out: last });
        let outputs = self.result(|places| &places.outputs);
        self.step("outputs", Op::Gather { x: last, out: outputs });
        let (weight, out) = (self.norm("norm"), self.result(|places| &places.normed_outputs));
        self.step("norm", Op::RmsNorm { x: outputs, weight, eps: EPS, out });
        self.linear(None, Projection::LmHead, out, |places| &places.logits)
    }

    fn linear(
        &mut self,
        layer: Option<u32>,
        projection: Projection,
        x: BufferId,
        place: fn(&Places) -> &Buffer,
    ) -> BufferId {
        let label = match layer {
            Some(layer) => format!("layers.{layer}.{}", projection.label()),
            None => projection.label().into(),
        };
        let format = self.outline.recipe.of(projection);
        let weight = self.tensor(&label, (format, Layout::MmaFragments), self.outline.sizes.of(projection));
        let out = self.result(place);
        self.step(&label, Op::Linear { x, weight, bias: None, out });
        out
    }

    fn norm(&mut self, label: &str) -> TensorId {
        self.tensor(label, (Format::F32, Layout::RowMajor), (1, self.outline.sizes.hidden))
    }

    fn tensor(&mut self, name: &str, (format, layout): (Format, Layout), shape: (u32, u32)) -> TensorId {
        let (rows, cols) = (u64::from(shape.0), u64::from(shape.1));
        let shape = if rows == 1 { vec![cols] } else { vec![rows, cols] };
        self.tensors.push(Tensor {
            name: name.into(),
            sources: vec![Source { name: name.into(), shape, blake3: String::new() }],
            format,
            layout,
            rows,
            cols,
            parts: layout.components(format, rows, cols, 0).into_iter().map(Part::unplaced).collect(),
        });
        TensorId(self.tensors.len() as u32 - 1)
    }

    /// A new result in one of the places.
    fn result(&mut self, place: fn(&Places) -> &Buffer) -> BufferId {
        self.buffers.push(place(&self.places).clone());
        BufferId(self.buffers.len() as u32 - 1)
    }

    fn step(&mut self, label: &str, op: Op) {
        self.steps.push(Step { label: label.into(), op, kernels: vec![] });
    }
}
