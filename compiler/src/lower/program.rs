//! The last lowering: a planned graph becomes the program and tensors of a plan. Pure.
//!
//! Every compute op becomes one step, every tensor that it gives one buffer, every weight that it uses one tensor,
//! in the order of first use. Nothing is decided here: formats, layouts, kernels and offsets stand in the graph.

use std::collections::BTreeMap;

use samp_abi::{
    TargetName,
    plan::{Buffer, BufferId, KvCache, Limits, Model, Op, Program, Step, TensorId},
};
use samp_ir::{
    AddOp, AddRmsNormOp, ConcatOp, Dataflow, Diagnostic, EmbedOp, GatherOp, LinearOp, Module, OpKind, OpRef,
    PagedAttentionOp, RmsNormOp, RopeAppendOp, SiluMulOp, ValueId, View, WeightOp,
};
use samp_passes::transform::Transform;

use super::spec::{DEFAULT_FILE_BYTES, PlanSpec, SourceSpec, TensorSpec};
use crate::{
    error_code,
    import::{CarriedFile, Checkpoint},
};

/// What a plan holds besides its graph.
#[derive(Clone, Debug)]
pub(super) struct LowerInputs<'a> {
    /// The machine that the plan is for.
    pub target: TargetName,
    /// What the model is.
    pub model: &'a Model,
    /// The largest step.
    pub limits: Limits,
    /// How keys and values are kept.
    pub kv: &'a KvCache,
    /// What the checkpoint is called.
    pub name: Option<&'a str>,
    /// The recipe as given.
    pub recipe: &'a str,
    /// Files of the checkpoint that the plan carries along.
    pub carried: &'a [CarriedFile],
}

/// Finds a tensor of the checkpoint, or of its architecture where only sizes are asked for.
pub(super) type FindSource<'a> = dyn Fn(&str) -> Option<SourceSpec> + 'a;

impl SourceSpec {
    /// The tensor of this name in a checkpoint, if it is there and of a type that weights may have.
    pub fn find(checkpoint: &Checkpoint, name: &str) -> Option<SourceSpec> {
        let weight = checkpoint.weight(name)?;
        Some(SourceSpec { name: name.into(), dtype: weight.dtype, shape: weight.shape.to_vec() })
    }
}

/// Lowers a graph of the planned phase. Fails, as a bug of samp, on a graph that the verifier would refuse there.
pub(super) fn lower(
    module: &Module,
    inputs: &LowerInputs<'_>,
    find: &FindSource<'_>,
) -> Result<PlanSpec, Diagnostic> {
    let mut lowering = Lowering::new(module, find);
    let flow = Dataflow::new(module);
    for op in flow.order() {
        lowering.step(module.op(op), &flow)?;
    }
    let logits = module.output().and_then(|value| lowering.buffer_of.get(&value).copied());
    let logits =
        logits.ok_or_else(|| bug("expected the graph to return the result of an op, found no such"))?;
    let buckets = lowering.steps.first().map(|s| s.kernels.iter().map(|k| k.max_tokens).collect());
    Ok(PlanSpec {
        target: inputs.target,
        model: inputs.model.clone(),
        limits: inputs.limits,
        kv: inputs.kv.clone(),
        program: Program {
            buckets: buckets.unwrap_or_default(),
            buffers: lowering.buffers,
            steps: lowering.steps,
            logits,
            sampler: text(module, "samp.sampler")?.into(),
        },
        arena_bytes: attribute(module, "samp.arena_bytes")?,
        tensors: lowering.tensors,
        mlir: module.to_string(),
        name: inputs.name.map(str::to_owned),
        recipe: inputs.recipe.into(),
        rounded: None,
        carried: inputs.carried.to_vec(),
        max_file_bytes: DEFAULT_FILE_BYTES,
    })
}

/// What has been lowered so far.
struct Lowering<'a> {
    module: &'a Module,
    find: &'a FindSource<'a>,
    steps: Vec<Step>,
    buffers: Vec<Buffer>,
    buffer_of: BTreeMap<ValueId, BufferId>,
    tensors: Vec<TensorSpec>,
    tensor_of: BTreeMap<ValueId, TensorId>,
}

impl<'a> Lowering<'a> {
    fn new(module: &'a Module, find: &'a FindSource<'a>) -> Lowering<'a> {
        Lowering {
            module,
            find,
            steps: vec![],
            buffers: vec![],
            buffer_of: BTreeMap::new(),
            tensors: vec![],
            tensor_of: BTreeMap::new(),
        }
    }

    fn step(&mut self, op: OpRef<'_>, flow: &Dataflow) -> Result<(), Diagnostic> {
        let tensors: Vec<ValueId> = op.results().into_iter().filter(|&v| !self.module.is_cache(v)).collect();
        let offsets = op.offsets();
        if offsets.len() != tensors.len() {
            return Err(bug("expected an arena offset for each result").at_op(op.label()));
        }
        let max_tokens = attribute(self.module, "samp.max_tokens")?;
        for (value, offset) in tensors.into_iter().zip(offsets) {
            let ty = self.module.tensor_type(value);
            let rows = flow
                .row_dim(value)
                .ok_or_else(|| bug("expected rows that something counts").at_op(op.label()))?;
            let dtype = ty.dtype.element().ok_or_else(|| bug("expected floats").at_op(op.label()))?;
            let bytes = max_tokens * ty.width() * dtype.bytes();
            self.buffer_of.insert(value, BufferId(self.buffers.len() as u32));
            self.buffers.push(Buffer { rows, width: ty.width(), dtype, offset, bytes });
        }
        let (label, kernels) = (op.label().to_owned(), op.kernels());
        let op = self.op(op)?;
        self.steps.push(Step { label, op, kernels });
        Ok(())
    }

    /// The operation with its operands as buffers and tensors.
    fn op(&mut self, op: OpRef<'_>) -> Result<Op, Diagnostic> {
        Ok(match op.kind() {
            OpKind::Embed => {
                let weight = self.tensor(view::<EmbedOp>(op).weight())?;
                Op::Embed { weight, out: self.out(op)? }
            }
            OpKind::RmsNorm => {
                let norm: RmsNormOp = view(op);
                let (x, weight) = (self.buffer(norm.x())?, self.tensor(norm.weight())?);
                Op::RmsNorm { x, weight, eps: norm.eps(), out: self.out(op)? }
            }
            OpKind::AddRmsNorm => {
                let norm: AddRmsNormOp = view(op);
                let (x, residual) = (self.buffer(norm.x())?, self.buffer(norm.residual())?);
                let (weight, eps) = (self.tensor(norm.weight())?, norm.eps());
                let (sum, out) = (self.buffer(norm.sum())?, self.buffer(norm.y())?);
                Op::AddRmsNorm { x, residual, weight, eps, sum, out }
            }
            OpKind::Linear => {
                let linear: LinearOp = view(op);
                let (x, weight) = (self.buffer(linear.x())?, self.tensor(linear.weight())?);
                let bias = linear.bias().map(|bias| self.tensor(bias)).transpose()?;
                Op::Linear { x, weight, bias, out: self.out(op)? }
            }
            _ => self.op_without_weight(op)?,
        })
    }

    fn op_without_weight(&self, op: OpRef<'_>) -> Result<Op, Diagnostic> {
        let out = self.out(op)?;
        Ok(match op.kind() {
            OpKind::Add => {
                let add: AddOp = view(op);
                Op::Add { a: self.buffer(add.a())?, b: self.buffer(add.b())?, out }
            }
            OpKind::RopeAppend => {
                let rope: RopeAppendOp = view(op);
                Op::RopeAppend { qkv: self.buffer(rope.qkv())?, layer: rope.spec().layer, out }
            }
            OpKind::PagedAttention => {
                let attention: PagedAttentionOp = view(op);
                Op::PagedAttention { q: self.buffer(attention.q())?, layer: attention.spec().layer, out }
            }
            OpKind::SiluMul if view::<SiluMulOp>(op).up().is_none() => {
                Op::SiluMul { gate_up: self.buffer(view::<SiluMulOp>(op).gate())?, out }
            }
            OpKind::Concat => {
                let parts = view::<ConcatOp>(op).parts().into_iter().map(|part| self.buffer(part));
                Op::Concat { parts: parts.collect::<Result<_, _>>()?, out }
            }
            OpKind::Gather => Op::Gather { x: self.buffer(view::<GatherOp>(op).x())?, out },
            _ => {
                return Err(
                    bug("expected an op that plans have, found one that passes replace").at_op(op.label())
                );
            }
        })
    }

    /// The buffer of the op's first result.
    fn out(&self, op: OpRef<'_>) -> Result<BufferId, Diagnostic> {
        self.buffer(op.result(0))
    }

    fn buffer(&self, value: ValueId) -> Result<BufferId, Diagnostic> {
        self.buffer_of
            .get(&value)
            .copied()
            .ok_or_else(|| bug("expected the result of an earlier op, found an input"))
    }

    /// The tensor of a weight; a tied head finds that of the embedding.
    fn tensor(&mut self, weight: WeightOp<'_>) -> Result<TensorId, Diagnostic> {
        if let Some(&known) = self.tensor_of.get(&weight.value()) {
            return Ok(known);
        }
        let transforms = transforms(weight)?;
        let unplanned = || bug("expected a weight with format, layout and shape").at_op(weight.key());
        let ty = weight.tensor_type();
        let source = |name: &str| {
            (self.find)(name)
                .ok_or_else(|| bug("expected a tensor of the checkpoint, found none").at_tensor(name))
        };
        let spec = TensorSpec {
            name: weight.key().into(),
            sources: weight.sources().into_iter().map(source).collect::<Result<_, _>>()?,
            transforms,
            format: weight.format().ok_or_else(unplanned)?,
            layout: weight.layout().ok_or_else(unplanned)?,
            rows: ty.rows().ok_or_else(unplanned)?,
            cols: ty.width(),
        };
        let id = TensorId(self.tensors.len() as u32);
        self.tensors.push(spec);
        self.tensor_of.insert(weight.value(), id);
        Ok(id)
    }
}

/// The transforms of a weight but for joining, which several sources imply.
fn transforms(weight: WeightOp<'_>) -> Result<Vec<Transform>, Diagnostic> {
    let refuse = |found: &str| {
        let message =
            format!("expected one source, or several and `concat`, and known transforms, found {found}");
        Diagnostic::unsupported(error_code::TRANSFORMS, message).at_op(weight.key())
    };
    let parse = |text: &str| text.parse().map_err(|_| refuse(text));
    let mut transforms: Vec<Transform> =
        weight.transforms().into_iter().map(parse).collect::<Result<_, _>>()?;
    let joined = transforms.first() == Some(&Transform::Concat);
    if joined != (weight.sources().len() > 1) {
        return Err(refuse(&format!("{:?}", weight.transforms())));
    }
    transforms.retain(|t| *t != Transform::Concat);
    Ok(transforms)
}

fn view<'m, V: View<'m>>(op: OpRef<'m>) -> V {
    V::from_op(op).expect("the kind was just looked at")
}

fn attribute(module: &Module, name: &str) -> Result<u64, Diagnostic> {
    module.integer(name).ok_or_else(|| missing(name))
}

fn text<'m>(module: &'m Module, name: &str) -> Result<&'m str, Diagnostic> {
    module.text(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Diagnostic {
    bug(&format!("expected the module attribute {name}, found none"))
}

fn bug(message: &str) -> Diagnostic {
    Diagnostic::compiler_bug(error_code::LOWERING_BUG, message)
}
