//! Rules about shapes and element types of single ops.

use super::rule::{OpRule, Outcome, Violation, demand, equal};
use crate::{
    AddOp, AddRmsNormOp, AttentionOp, AttentionSpec, ConcatOp, EmbedOp, GatherOp, LinearOp, OpKind, OpRef,
    PagedAttentionOp, Phase, RmsNormOp, RopeAppendOp, RopeOp, Shape, SiluMulOp, TensorType, ValueId, View,
    WeightOp, error_code,
};

pub(super) const RULES: &[OpRule] = &[
    rule(
        error_code::WEIGHT,
        "a weight is a named matrix or vector of floats with sources",
        &[OpKind::Weight],
        weight,
    ),
    rule(error_code::EMBED, "an embedding turns token ids into rows of its table", &[OpKind::Embed], embed),
    rule(
        error_code::NORM,
        "a norm has one weight per channel of a head and keeps the shape",
        &[OpKind::RmsNorm],
        rms_norm,
    ),
    rule(
        error_code::NORM,
        "a norm has one weight per channel and keeps the shape",
        &[OpKind::AddRmsNorm],
        add_rms_norm,
    ),
    rule(
        error_code::LINEAR,
        "weight columns are the width of x, rows the width of the result",
        &[OpKind::Linear],
        linear,
    ),
    rule(error_code::ROPE, "rope turns heads of even width and keeps the shape", &[OpKind::Rope], rope),
    rule(
        error_code::ATTENTION,
        "widths are heads times head_dim, kv_heads divides heads",
        &[OpKind::Attention],
        attention,
    ),
    rule(
        error_code::ATTENTION,
        "widths are heads times head_dim, kv_heads divides heads",
        &[OpKind::RopeAppend],
        rope_append,
    ),
    rule(
        error_code::ATTENTION,
        "widths are heads times head_dim, kv_heads divides heads",
        &[OpKind::PagedAttention],
        paged,
    ),
    rule(
        error_code::SILU_MUL,
        "gate, up and result have one shape, or gate and up lie side by side",
        &[OpKind::SiluMul],
        silu_mul,
    ),
    rule(error_code::CONCAT, "parts lie side by side in the result", &[OpKind::Concat], concat),
    rule(error_code::ADD, "summands and sum have one shape", &[OpKind::Add], add),
    rule(error_code::GATHER, "gather takes row numbers and keeps the width", &[OpKind::Gather], gather),
];

const fn rule(
    code: &'static str,
    states: &'static str,
    ops: &'static [OpKind],
    check: fn(OpRef<'_>) -> Outcome,
) -> OpRule {
    OpRule { code, states, ops, from: Phase::Model, until: Phase::Planned, check }
}

/// The table has a row for each view, so the view always fits.
fn view<'m, V: View<'m>>(op: OpRef<'m>) -> V {
    V::from_op(op).expect("the rule table names the op of the check's view")
}

/// The width of an activation of floats.
fn width(op: OpRef<'_>, what: &str, value: ValueId) -> Result<u64, Violation> {
    let ty = op.module().tensor_type(value);
    match ty.shape {
        Shape::Activation { width } if ty.dtype.is_float() && width > 0 => Ok(width),
        _ => Err(Violation::mismatch(what, "an activation tensor<?xN> of floats", ty)),
    }
}

fn activation(op: OpRef<'_>, what: &str, value: ValueId, expected: u64) -> Outcome {
    equal(&format!("width of {what}"), expected, width(op, what, value)?)
}

fn indices(op: OpRef<'_>, what: &str, value: ValueId) -> Outcome {
    equal(what, TensorType::indices(), op.module().tensor_type(value))
}

fn vector(what: &str, weight: WeightOp<'_>, length: u64) -> Outcome {
    let ty = weight.tensor_type();
    equal(what, TensorType::vector(length, ty.dtype), ty)
}

fn matrix(weight: WeightOp<'_>) -> Result<(u64, u64), Violation> {
    match weight.tensor_type().shape {
        Shape::Matrix { rows, cols } => Ok((rows, cols)),
        _ => Err(Violation::mismatch("weight", "a matrix", weight.tensor_type())),
    }
}

fn weight(op: OpRef<'_>) -> Outcome {
    let op: WeightOp<'_> = view(op);
    let ty = op.tensor_type();
    let is_static = ty.rows().is_some_and(|rows| rows > 0) && ty.width() > 0;
    demand(is_static && ty.dtype.is_float(), "type", "a matrix or vector of floats", ty)?;
    demand(!op.key().is_empty(), "key", "a name", "none")?;
    demand(!op.sources().is_empty(), "sources", "at least one", "none")?;
    let joins = op.transforms().contains(&"concat");
    let expected = if joins { "several, to concat" } else { "one, as nothing says `concat`" };
    demand(joins == (op.sources().len() > 1), "sources", expected, op.sources().len())
}

fn embed(op: OpRef<'_>) -> Outcome {
    let op: EmbedOp<'_> = view(op);
    indices(*op, "tokens", op.tokens())?;
    let (_, cols) = matrix(op.weight())?;
    let scale = op.scale();
    demand(scale.is_finite() && scale > 0.0, "scale", "a number above 0", scale)?;
    activation(*op, "result", op.result(0), cols)
}

fn rms_norm(op: OpRef<'_>) -> Outcome {
    let op: RmsNormOp<'_> = view(op);
    let (channels, heads) = (width(*op, "x", op.x())?, op.heads());
    let whole = heads > 0 && channels.is_multiple_of(heads);
    demand(whole, "heads", format!("a divisor of the width {channels} of x"), heads)?;
    vector("weight", op.weight(), channels / heads)?;
    activation(*op, "result", op.result(0), channels)?;
    epsilon(op.eps())
}

fn add_rms_norm(op: OpRef<'_>) -> Outcome {
    let op: AddRmsNormOp<'_> = view(op);
    let channels = width(*op, "x", op.x())?;
    activation(*op, "residual", op.residual(), channels)?;
    vector("weight", op.weight(), channels)?;
    activation(*op, "sum", op.sum(), channels)?;
    activation(*op, "result", op.y(), channels)?;
    epsilon(op.eps())
}

fn epsilon(eps: f64) -> Outcome {
    demand(eps >= 0.0, "eps", "a number that is not negative", eps)
}

fn linear(op: OpRef<'_>) -> Outcome {
    let op: LinearOp<'_> = view(op);
    let (rows, cols) = matrix(op.weight())?;
    equal("weight columns against width of x", width(*op, "x", op.x())?, cols)?;
    activation(*op, "result", op.result(0), rows)?;
    op.bias().map_or(Ok(()), |bias| vector("bias", bias, rows))
}

fn rope(op: OpRef<'_>) -> Outcome {
    let op: RopeOp<'_> = view(op);
    indices(*op, "positions", op.positions())?;
    head_dim(op.head_dim())?;
    rotary_dim(op.rotary_dim(), op.head_dim())?;
    let expected = op.heads().saturating_mul(op.head_dim());
    activation(*op, "x", op.x(), expected)?;
    activation(*op, "result", op.result(0), expected)
}

fn attention(op: OpRef<'_>) -> Outcome {
    let op: AttentionOp<'_> = view(op);
    let spec = op.spec();
    heads(spec)?;
    activation(*op, "q", op.q(), spec.q_width())?;
    activation(*op, "k", op.k(), spec.kv_width())?;
    activation(*op, "v", op.v(), spec.kv_width())?;
    activation(*op, "result", op.result(0), spec.q_width())
}

fn rope_append(op: OpRef<'_>) -> Outcome {
    let op: RopeAppendOp<'_> = view(op);
    let spec = op.spec();
    heads(spec)?;
    rotary_dim(spec.rotary_dim, spec.head_dim)?;
    indices(*op, "positions", op.positions())?;
    activation(*op, "qkv", op.qkv(), spec.qkv_width())?;
    activation(*op, "q", op.q(), spec.q_width())
}

fn paged(op: OpRef<'_>) -> Outcome {
    let op: PagedAttentionOp<'_> = view(op);
    let spec = op.spec();
    heads(spec)?;
    activation(*op, "q", op.q(), spec.q_width())?;
    activation(*op, "result", op.result(0), spec.q_width())
}

fn heads(spec: AttentionSpec) -> Outcome {
    head_dim(spec.head_dim)?;
    let divides = spec.kv_heads > 0 && spec.heads > 0 && spec.heads.is_multiple_of(spec.kv_heads);
    demand(divides, "kv_heads", format!("a divisor of {} heads", spec.heads), spec.kv_heads)
}

fn head_dim(width: u64) -> Outcome {
    demand(width > 0 && width.is_multiple_of(2), "head_dim", "an even number above 0", width)
}

fn rotary_dim(width: u64, head_dim: u64) -> Outcome {
    let pairs = width.is_multiple_of(2) && width <= head_dim;
    demand(pairs, "rotary_dim", format!("an even number up to head_dim = {head_dim}"), width)
}

fn silu_mul(op: OpRef<'_>) -> Outcome {
    let op: SiluMulOp<'_> = view(op);
    let gate = width(*op, "gate", op.gate())?;
    match op.up() {
        Some(up) => {
            activation(*op, "up", up, gate)?;
            activation(*op, "result", op.result(0), gate)
        }
        None => {
            demand(gate.is_multiple_of(2), "width of gate and up", "an even number", gate)?;
            activation(*op, "result", op.result(0), gate / 2)
        }
    }
}

fn concat(op: OpRef<'_>) -> Outcome {
    let op: ConcatOp<'_> = view(op);
    let widths = op.parts().into_iter().map(|part| width(*op, "a part", part));
    let together = widths.sum::<Result<u64, Violation>>()?;
    activation(*op, "result", op.result(0), together)
}

fn add(op: OpRef<'_>) -> Outcome {
    let op: AddOp<'_> = view(op);
    let expected = width(*op, "a", op.a())?;
    activation(*op, "b", op.b(), expected)?;
    activation(*op, "result", op.result(0), expected)
}

fn gather(op: OpRef<'_>) -> Outcome {
    let op: GatherOp<'_> = view(op);
    indices(*op, "rows", op.rows())?;
    let expected = width(*op, "x", op.x())?;
    activation(*op, "result", op.result(0), expected)
}
