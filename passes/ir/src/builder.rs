//! Adding ops to a graph.

use melior::ir::{Attribute, BlockLike, Identifier, Location, Type, ValueLike, operation::OperationBuilder};

use crate::{AttentionSpec, Dtype, Module, OpId, OpKind, TensorType, ValueId, attribute::Maker, structure};

/// Adds ops at one place of a graph, in the order of the calls. Types of results follow from the operands;
/// whether the operands fit each other is for the verifier to say.
pub struct Builder<'m> {
    module: &'m mut Module,
    before: Option<OpId>,
}

impl Module {
    /// Adds ops at the end.
    pub fn at_end(&mut self) -> Builder<'_> {
        Builder { module: self, before: None }
    }

    /// Adds ops before `op`.
    ///
    /// # Panics
    /// If `op` was erased.
    pub fn before(&mut self, op: OpId) -> Builder<'_> {
        self.raw_op(op);
        Builder { module: self, before: Some(op) }
    }
}

type Attributes<'a> = &'a [(&'a str, Attribute<'static>)];

impl Builder<'_> {
    /// The module that is added to.
    pub fn module(&mut self) -> &mut Module {
        self.module
    }

    /// A tensor of the model: `key` is its name in the plan, `sources` are the checkpoint's tensors that it is
    /// made from by `transforms`.
    pub fn weight<S: AsRef<str>>(
        &mut self,
        key: &str,
        sources: &[S],
        transforms: &[&str],
        ty: TensorType,
    ) -> ValueId {
        let make = self.make();
        let attributes = [
            ("key", make.text(key)),
            ("sources", make.texts(sources)),
            ("transforms", make.texts(transforms)),
        ];
        let ty = ty.to_mlir(self.module.mlir());
        self.insert(OpKind::Weight, key, &[], &attributes, &[ty])
    }

    /// `y[t] = scale · weight[tokens[t]]`, in f32; a scale of 1 is not said.
    pub fn embed(&mut self, label: &str, [tokens, weight]: [ValueId; 2], scale: f64) -> ValueId {
        let width = self.module.tensor_type(weight).width();
        let y = TensorType::activation(width, Dtype::F32);
        let attributes = [("scale", self.make().float(scale))];
        let said = if scale == 1.0 { &[][..] } else { &attributes };
        self.compute(OpKind::Embed, label, &[tokens, weight], said, y)
    }

    /// `y[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight`.
    pub fn rms_norm(&mut self, label: &str, x: ValueId, weight: ValueId, eps: f64) -> ValueId {
        let attributes = [("eps", self.make().float(eps))];
        self.like(OpKind::RmsNorm, label, &[x, weight], &attributes)
    }

    /// The same of each of `heads` heads of a row by itself, all with one weight as wide as a head.
    pub fn rms_norm_heads(
        &mut self,
        label: &str,
        [x, weight]: [ValueId; 2],
        heads: u64,
        eps: f64,
    ) -> ValueId {
        let attributes = [("eps", self.make().float(eps)), ("heads", self.make().integer(heads))];
        self.like(OpKind::RmsNorm, label, &[x, weight], &attributes)
    }

    /// `sum = x + residual` and `y = rms_norm(sum)`, as `(sum, y)`.
    pub fn add_rms_norm(
        &mut self,
        label: &str,
        [x, residual]: [ValueId; 2],
        weight: ValueId,
        eps: f64,
    ) -> (ValueId, ValueId) {
        let attributes = [("label", self.make().text(label)), ("eps", self.make().float(eps))];
        let ty = self.module.raw_value(x).r#type();
        let sum = self.insert(OpKind::AddRmsNorm, label, &[x, residual, weight], &attributes, &[ty, ty]);
        (sum, sibling(sum, 1))
    }

    /// `y[t] = weight · x[t] + bias`, in the element type of `x`.
    pub fn linear(&mut self, label: &str, x: ValueId, weight: ValueId, bias: Option<ValueId>) -> ValueId {
        let operands: Vec<_> = [x, weight].into_iter().chain(bias).collect();
        let rows = self.module.tensor_type(weight).rows().unwrap_or(0);
        let y = TensorType::activation(rows, self.module.tensor_type(x).dtype);
        self.compute(OpKind::Linear, label, &operands, &[], y)
    }

    /// Rotates each of `heads` heads of `x` by its position; the spec says how wide they are and how much of them turns.
    pub fn rope(
        &mut self,
        label: &str,
        [x, positions]: [ValueId; 2],
        heads: u64,
        spec: AttentionSpec,
    ) -> ValueId {
        let make = self.make();
        let mut attributes = vec![("heads", make.integer(heads)), ("head_dim", make.integer(spec.head_dim))];
        attributes.extend(self.rotary_dim(spec));
        self.like(OpKind::Rope, label, &[x, positions], &attributes)
    }

    /// Appends `k` and `v` to the layer's cache and attends with `q`.
    pub fn attention(&mut self, label: &str, qkv: [ValueId; 3], kv: ValueId, spec: AttentionSpec) -> ValueId {
        let [q, k, v] = qkv;
        let attributes = self.attention_attributes(spec);
        self.like(OpKind::Attention, label, &[q, k, v, kv], &attributes)
    }

    /// Splits `qkv`, rotates queries and keys, appends keys and values to the layer's cache: `(q, cache)`. The
    /// spec's window does not matter here.
    pub fn rope_append(
        &mut self,
        label: &str,
        qkv: ValueId,
        positions: ValueId,
        kv: ValueId,
        spec: AttentionSpec,
    ) -> (ValueId, ValueId) {
        let mlir = self.module.mlir();
        let dtype = self.module.tensor_type(qkv).dtype;
        let types =
            [TensorType::activation(spec.q_width(), dtype).to_mlir(mlir), structure::cache_type(mlir)];
        let mut attributes = self.attention_attributes(spec)[..4].to_vec();
        attributes.extend(self.rotary_dim(spec));
        attributes.push(("label", self.make().text(label)));
        let q = self.insert(OpKind::RopeAppend, label, &[qkv, positions, kv], &attributes, &types);
        (q, sibling(q, 1))
    }

    /// Attends with `q` to a cache that already holds the step's keys and values.
    pub fn paged_attention(&mut self, label: &str, q: ValueId, kv: ValueId, spec: AttentionSpec) -> ValueId {
        let attributes = self.attention_attributes(spec);
        self.like(OpKind::PagedAttention, label, &[q, kv], &attributes)
    }

    /// `y = silu(gate) · up`.
    pub fn silu_mul(&mut self, label: &str, gate: ValueId, up: ValueId) -> ValueId {
        self.like(OpKind::SiluMul, label, &[gate, up], &[])
    }

    /// `y = silu(gate) · up` of gate and up side by side in each row.
    pub fn silu_mul_fused(&mut self, label: &str, gate_up: ValueId) -> ValueId {
        let both = self.module.tensor_type(gate_up);
        let y = TensorType::activation(both.width() / 2, both.dtype);
        self.compute(OpKind::SiluMul, label, &[gate_up], &[], y)
    }

    /// `y[t] = parts[0][t] ‖ parts[1][t] ‖ …` of two or three parts, in the element type of the first.
    pub fn concat(&mut self, label: &str, parts: &[ValueId]) -> ValueId {
        let types: Vec<TensorType> = parts.iter().map(|&part| self.module.tensor_type(part)).collect();
        let y = TensorType::activation(types.iter().map(|ty| ty.width()).sum(), types[0].dtype);
        self.compute(OpKind::Concat, label, parts, &[], y)
    }

    /// `y = a + b`.
    pub fn add(&mut self, label: &str, a: ValueId, b: ValueId) -> ValueId {
        self.like(OpKind::Add, label, &[a, b], &[])
    }

    /// `y[o] = x[rows[o]]`.
    pub fn gather(&mut self, label: &str, x: ValueId, rows: ValueId) -> ValueId {
        self.like(OpKind::Gather, label, &[x, rows], &[])
    }

    fn make(&self) -> Maker {
        self.module.maker()
    }

    /// Said only where it is not the whole head.
    fn rotary_dim(&self, spec: AttentionSpec) -> Option<(&'static str, Attribute<'static>)> {
        let part = spec.rotary_dim != spec.head_dim;
        part.then(|| ("rotary_dim", self.make().integer(spec.rotary_dim)))
    }

    fn attention_attributes(&self, spec: AttentionSpec) -> [(&'static str, Attribute<'static>); 5] {
        let make = self.make();
        [
            ("layer", make.integer(spec.layer)),
            ("heads", make.integer(spec.heads)),
            ("kv_heads", make.integer(spec.kv_heads)),
            ("head_dim", make.integer(spec.head_dim)),
            ("window", make.integer(spec.window)),
        ]
    }

    /// An op whose result has the type of its first operand.
    fn like(
        &mut self,
        kind: OpKind,
        label: &str,
        operands: &[ValueId],
        attributes: Attributes<'_>,
    ) -> ValueId {
        let ty = self.module.tensor_type(operands[0]);
        self.compute(kind, label, operands, attributes, ty)
    }

    /// An op with a label and one tensor result.
    fn compute(
        &mut self,
        kind: OpKind,
        label: &str,
        operands: &[ValueId],
        attributes: Attributes<'_>,
        y: TensorType,
    ) -> ValueId {
        let mut attributes = attributes.to_vec();
        attributes.push(("label", self.make().text(label)));
        let y = y.to_mlir(self.module.mlir());
        self.insert(kind, label, operands, &attributes, &[y])
    }

    /// Adds the op and returns its first result. Its location is its name.
    fn insert(
        &mut self,
        kind: OpKind,
        name: &str,
        operands: &[ValueId],
        attributes: Attributes<'_>,
        results: &[Type<'static>],
    ) -> ValueId {
        let mlir = self.module.mlir();
        let location = Location::name(mlir, name, Location::unknown(mlir));
        let operands: Vec<_> = operands.iter().map(|&v| self.module.raw_value(v)).collect();
        let attributes: Vec<_> = attributes.iter().map(|&(k, v)| (Identifier::new(mlir, k), v)).collect();
        let op = OperationBuilder::new(kind.name(), location)
            .add_operands(&operands)
            .add_attributes(&attributes)
            .add_results(results)
            .build()
            .expect("an op with given result types can always be made");
        let block = self.module.block;
        let place = self.before.map(|id| self.module.raw_op(id)).or_else(|| self.module.terminator());
        let op = match place {
            Some(next) => block.insert_operation_before(next, op),
            None => block.append_operation(op),
        };
        ValueId::result(self.module.register(op), 0)
    }
}

/// Another result of the op that defines `value`.
fn sibling(value: ValueId, index: u32) -> ValueId {
    match value.0 {
        crate::ids::Definition::Result(op, _) => ValueId::result(op, index),
        crate::ids::Definition::Input(_) => unreachable!("ops define results"),
    }
}
