//! The steps of a model, as the compiler fuses them. A test of the compiler's holds them to what it lowers.

use samp_abi::{
    ElementType, Format, Layout,
    plan::{
        Buffer, BufferId, Limits, Op, PART_ALIGNMENT, Program, RowDim, Source, Step, StoredComponent, Tensor,
        TensorId,
    },
};

use crate::{
    model_shape::{MatrixShape, ModelShape, Projection},
    recipe_formats::RecipeFormats,
};

const EPS: f64 = 1e-5;

/// A program still without kernels, and what it is over.
pub(super) struct Built {
    pub program: Program,
    pub tensors: Vec<Tensor>,
    pub arena_bytes: u64,
}

/// The model as steps, with activations of this type.
pub(super) fn build(
    shape: &ModelShape,
    formats: RecipeFormats,
    limits: Limits,
    activations: ElementType,
) -> Built {
    let mut arena = Arena { limits, end: 0 };
    let places = Places::new(shape, activations, &mut arena);
    let mut model = Builder { shape, formats, places, tensors: vec![], buffers: vec![], steps: vec![] };
    let logits = model.all();
    let Builder { tensors, buffers, steps, .. } = model;
    let (buckets, sampler) = (vec![limits.max_tokens], String::new());
    let program = Program { buckets, buffers, steps, logits, sampler };
    Built { program, tensors, arena_bytes: arena.end }
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
    fn new(shape: &ModelShape, activations: ElementType, arena: &mut Arena) -> Places {
        let (heads, hidden) = (shape.heads * shape.head_dim, shape.hidden);
        let (tokens, outputs, wide) = (RowDim::Tokens, RowDim::Outputs, ElementType::F32);
        let mut activation = |width| arena.place(tokens, width, activations);
        Places {
            normed: activation(hidden),
            qkv: activation(shape.matrix(Projection::Qkv).rows),
            q: activation(heads),
            attended: activation(heads),
            back: activation(hidden),
            gate_up: activation(2 * shape.intermediate),
            activated: activation(shape.intermediate),
            stream: arena.place(tokens, hidden, wide),
            last: arena.place(tokens, hidden, wide),
            outputs: arena.place(outputs, hidden, wide),
            normed_outputs: arena.place(outputs, hidden, activations),
            logits: arena.place(outputs, shape.vocab, wide),
        }
    }
}

struct Builder<'a> {
    shape: &'a ModelShape,
    formats: RecipeFormats,
    places: Places,
    tensors: Vec<Tensor>,
    buffers: Vec<Buffer>,
    steps: Vec<Step>,
}

impl Builder<'_> {
    /// All steps; gives the logits.
    fn all(&mut self) -> BufferId {
        let ModelShape { vocab, hidden, layers, .. } = *self.shape;
        let table = MatrixShape { rows: vocab, cols: hidden };
        let weight = self.tensor("embed_tokens", self.formats.table_format(), Layout::RowMajor, table);
        let mut stream = self.result(|places| &places.stream);
        self.step("embed_tokens", Op::Embed { weight, out: stream });
        let label = "layers.0.input_layernorm";
        let mut x = self.result(|places| &places.normed);
        let weight = self.norm(label);
        self.step(label, Op::RmsNorm { x: stream, weight, eps: EPS, out: x });
        for layer in 0..layers {
            let back = self.attention(layer, x);
            (stream, x) = self.add_norm(&format!("layers.{layer}.post_attention_layernorm"), back, stream);
            let back = self.mlp(layer, x);
            if layer + 1 == layers {
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
        let layer = self.shape.layers - 1;
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
        let (format, matrix) = (self.formats.weight_format(projection), self.shape.matrix(projection));
        let weight = self.tensor(&label, format, Layout::MmaFragments, matrix);
        let out = self.result(place);
        self.step(&label, Op::Linear { x, weight, bias: None, out });
        out
    }

    fn norm(&mut self, label: &str) -> TensorId {
        self.tensor(label, Format::F32, Layout::RowMajor, MatrixShape { rows: 1, cols: self.shape.hidden })
    }

    fn tensor(&mut self, name: &str, format: Format, layout: Layout, matrix: MatrixShape) -> TensorId {
        let [rows, cols] = [matrix.rows, matrix.cols].map(u64::from);
        let shape = if rows == 1 { vec![cols] } else { vec![rows, cols] };
        self.tensors.push(Tensor {
            name: name.into(),
            sources: vec![Source { name: name.into(), shape, blake3: String::new() }],
            format,
            layout,
            rows,
            cols,
            parts: layout
                .components(format, rows, cols, 0)
                .into_iter()
                .map(StoredComponent::unplaced)
                .collect(),
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
