//! Equalizes weights between a linear's rows and the columns of the linear after it.
//!
//! Before: `%y = samp.silu_mul(%gate_up)`, `%z = samp.linear(%y, %down)`; likewise values through attention into `o_proj`
//!
//! After: the producer's weight (and bias) has `even_rows(pair)`, the consumer's `even_columns(pair)`.
//!
//! Requires: fusion is done. Ensures: the function is the same, since what a row is divided by, the columns that read it
//! are multiplied by: SiLU · mul is linear in `up`, attention is linear in the values. Does not: choose the scales (the
//! pair names them), or touch a linear whose result has other readers.

use samp_ir::{
    ConcatOp, Diagnostic, LinearOp, Module, OpId, PagedAttentionOp, RopeAppendOp, SiluMulOp, ValueId,
};

use crate::{
    Changed,
    transform::{Pair, Transform, append},
};

/// Marks every pair that can be equalized.
pub fn equalize(module: &mut Module) -> Result<Changed, Diagnostic> {
    let mlp = module.views::<SiluMulOp>().filter_map(|op| match_silu_mul(module, op));
    let attention = module.views::<PagedAttentionOp>().filter_map(|op| match_attention(module, op));
    let matches: Vec<Match> = mlp.chain(attention).collect();
    for found in &matches {
        let rows = Transform::ScaleRows(found.pair.clone());
        found.producers.iter().for_each(|&weight| append(module, weight, &rows));
        append(module, found.consumer, &Transform::ScaleColumns(found.pair.clone()));
    }
    Ok(Changed(matches.len()))
}

/// Weights and biases whose last rows are read by the columns of `consumer`.
pub(crate) struct Match {
    pub pair: Pair,
    pub producers: Vec<OpId>,
    pub consumer: OpId,
}

fn match_silu_mul(module: &Module, silu_mul: SiluMulOp<'_>) -> Option<Match> {
    let producer = match silu_mul.up() {
        Some(up) => module.defined_by(up)?,
        None => module.defined_by(silu_mul.gate())?,
    };
    let y = silu_mul.result(0);
    let pair = Pair { name: silu_mul.label().into(), block: module.tensor_type(y).width(), repeat: 1 };
    match_pair(module, producer, y, pair)
}

pub(crate) fn match_attention(module: &Module, attention: PagedAttentionOp<'_>) -> Option<Match> {
    let append: RopeAppendOp = module.defined_by(attention.kv())?;
    // Values are the last part, where queries and keys have norms of their own.
    let values = match module.defined_by::<ConcatOp<'_>>(append.qkv()) {
        Some(concat) => *concat.parts().last()?,
        None => append.qkv(),
    };
    let producer = module.defined_by(values)?;
    let spec = attention.spec();
    let (block, repeat) = (spec.head_dim, spec.heads / spec.kv_heads);
    match_pair(module, producer, attention.result(0), Pair { name: attention.label().into(), block, repeat })
}

fn match_pair(module: &Module, producer: LinearOp<'_>, y: ValueId, pair: Pair) -> Option<Match> {
    let [reader] = module.users(y)[..] else { return None };
    let consumer: LinearOp = module.view(reader.id())?;
    let weights = [Some(producer.weight()), producer.bias(), Some(consumer.weight())];
    let alone = weights.iter().flatten().all(|weight| module.use_count(weight.value()) == 1);
    let producers = weights[..2].iter().flatten().map(|weight| weight.id()).collect();
    (alone && module.use_count(producer.result(0)) == 1).then(|| Match {
        pair,
        producers,
        consumer: consumer.weight().id(),
    })
}
