//! Rotates the residual stream, and the values of every head, by random matrices that spread each channel over all others.
//!
//! Before: `%x = samp.embed(%tokens, %table)`, `%y = samp.linear(%n, %w)` of a norm `%n`, `%z = samp.linear(%h, %o)` that is
//! added to the stream
//!
//! After: the table and `%w` have `rotate_columns(seed/width x 1)`, `%o` and its bias `rotate_rows(…)`; the rows of values and
//! the columns of `o_proj` likewise, head by head.
//!
//! Requires: fusion is done; `equalize` ran before if it runs, since its scales belong to channels before they are mixed.
//! Ensures: the function is the same, since a rotation leaves a vector's root mean square as it is and so goes through a
//! norm whose weights are ones; norms that are not folded yet, the last one before the head among them, are folded. Table
//! and head, stored in 16 bits, are then rounded from other values than the checkpoint's. Does not: change anything
//! where the embedding is tied to the head, or anything but norms and sums reads the stream; a warning then says so. Every
//! width has a rotation.

use std::collections::BTreeSet;

use samp_ir::{
    AddOp, AddRmsNormOp, Diagnostic, EmbedOp, GatherOp, LinearOp, Module, OpId, OpKind, OpRef,
    PagedAttentionOp, RmsNormOp, ValueId, View, WeightOp,
};

use crate::error_code;
use crate::{
    Changed,
    equalize::{self, match_attention},
    fold_norms::{self, match_norm, rewrite_norm},
    transform::{Rotation, Transform, append},
};

/// Marks everything that meets the stream, and every pair of values and `o_proj`. The warning, if there is one, says what
/// stood against it; nothing is marked then.
pub fn rotate(module: &mut Module, seed: u64) -> Result<(Changed, Option<Diagnostic>), Diagnostic> {
    let stream = match match_stream(module) {
        Ok(stream) => stream,
        Err(obstacle) => return Ok((Changed(0), Some(obstacle.warning()))),
    };
    let attention = module.views::<PagedAttentionOp>();
    let heads: Vec<equalize::Match> = attention.filter_map(|op| match_attention(module, op)).collect();
    rewrite_stream(module, &stream, seed);
    heads.iter().for_each(|found| rewrite_heads(module, found, seed));
    Ok((Changed(1 + heads.len()), None))
}

/// Everything that meets the residual stream.
#[derive(Default)]
struct Stream {
    width: u64,
    /// Norms that are not folded yet.
    norms: Vec<fold_norms::Match>,
    /// Weights whose columns are the stream's channels.
    columns: Vec<OpId>,
    /// Weights and biases whose outputs are.
    rows: Vec<OpId>,
}

fn match_stream(module: &Module) -> Result<Stream, Diagnostic> {
    let mut tracer = StreamTracer { module, values: BTreeSet::new(), found: Stream::default() };
    for op in module.ops() {
        tracer.visit(op).ok_or_else(|| obstacle(op.kind() == OpKind::Embed).at_op(op.label()))?;
    }
    let inside = module.output().is_none_or(|output| !tracer.values.contains(&output));
    if inside && tracer.found.width > 0 { Ok(tracer.found) } else { Err(obstacle(false)) }
}

/// What stands against rotating the stream: an embedding tied to the head, or something else.
fn obstacle(tied: bool) -> Diagnostic {
    let (expected, found) = if tied {
        ("an embedding of its own", "one tied to the head")
    } else {
        (
            "norms, sums and linears of their own weights alone to meet the residual stream",
            "another use of it",
        )
    };
    let message = format!("nothing is rotated: expected {expected}, found {found}");
    Diagnostic::unsupported(error_code::UNROTATED, message)
        .hint("leave out rotate; equalize evens out channels without it")
}

/// Follows the stream through the graph; each step is `None` where something stands against rotating the stream.
struct StreamTracer<'m> {
    module: &'m Module,
    values: BTreeSet<ValueId>,
    found: Stream,
}

impl<'m> StreamTracer<'m> {
    fn visit(&mut self, op: OpRef<'m>) -> Option<()> {
        match op.kind() {
            OpKind::Embed => {
                self.found.columns.push(self.alone(EmbedOp::from_op(op)?.weight())?);
                self.found.width = self.module.tensor_type(op.result(0)).width();
                self.values.insert(op.result(0));
            }
            OpKind::Gather if self.values.contains(&GatherOp::from_op(op)?.x()) => {
                self.values.insert(op.result(0));
            }
            OpKind::Add => {
                let add = AddOp::from_op(op)?;
                self.sum([add.a(), add.b()], op.result(0))?;
            }
            OpKind::AddRmsNorm => {
                let norm = AddRmsNormOp::from_op(op)?;
                self.sum([norm.x(), norm.residual()], norm.sum())?;
                self.norm(norm.y(), norm.weight())?;
            }
            OpKind::RmsNorm if self.values.contains(&RmsNormOp::from_op(op)?.x()) => {
                self.norm(op.result(0), RmsNormOp::from_op(op)?.weight())?;
            }
            _ if op.operands().iter().any(|operand| self.values.contains(operand)) => return None,
            _ => {}
        }
        Some(())
    }

    /// A sum of the stream and what linears add to it.
    fn sum(&mut self, summands: [ValueId; 2], sum: ValueId) -> Option<()> {
        for value in summands.into_iter().filter(|value| !self.values.contains(value)).collect::<Vec<_>>() {
            let linear: LinearOp = self.module.defined_by(value)?;
            (self.module.use_count(value) == 1).then_some(())?;
            for weight in [Some(linear.weight()), linear.bias()].into_iter().flatten() {
                self.found.rows.push(self.alone(weight)?);
            }
        }
        self.values.insert(sum);
        Some(())
    }

    fn norm(&mut self, y: ValueId, weight: WeightOp<'m>) -> Option<()> {
        let norm = match_norm(self.module, y, weight)?;
        self.found.columns.extend(&norm.readers);
        if !weight.transforms().contains(&Transform::Ones.name()) {
            self.found.norms.push(norm);
        }
        Some(())
    }

    fn alone(&self, weight: WeightOp<'m>) -> Option<OpId> {
        (self.module.use_count(weight.value()) == 1).then_some(weight.id())
    }
}

fn rewrite_stream(module: &mut Module, stream: &Stream, seed: u64) {
    stream.norms.iter().for_each(|norm| rewrite_norm(module, norm));
    let rotation = Rotation { seed, width: stream.width, runs: 1 };
    stream.columns.iter().for_each(|&weight| append(module, weight, &Transform::RotateColumns(rotation)));
    stream.rows.iter().for_each(|&weight| append(module, weight, &Transform::RotateRows(rotation)));
}

/// Heads that share values read the same rotation of them, whichever they are.
fn rewrite_heads(module: &mut Module, found: &equalize::Match, seed: u64) {
    let consumer: WeightOp = module.view(found.consumer).expect("matched as a weight");
    let heads = consumer.tensor_type().width() / found.pair.block;
    let rotation = |runs| Rotation { seed, width: found.pair.block, runs };
    let rows = Transform::RotateRows(rotation(heads / found.pair.repeat));
    found.producers.iter().for_each(|&weight| append(module, weight, &rows));
    append(module, found.consumer, &Transform::RotateColumns(rotation(heads)));
}
