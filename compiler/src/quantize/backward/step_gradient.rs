//! One step in reverse: from the gradients by what it wrote to those by what it read.

use std::{collections::BTreeMap, ops::Range};

use samp_abi::{
    Component, Layout,
    plan::{BufferId, Op, TensorId},
};
use samp_kernels::{
    encoded::Encoded,
    gradient::{self, AttentionShape, RopeTable},
    linear::{self, LinearArgs},
};
use samp_runtime::Weights;

use super::tape::Tape;
use crate::quantize::{baseline::stored, error::QuantizeError, forward::Forward, token_batch::TokenBatch};

/// Gradients by buffers, until the step that wrote each is reached.
#[derive(Default)]
pub(super) struct Gradients {
    by: BTreeMap<BufferId, Vec<f32>>,
}

impl Gradients {
    /// Says the gradient by a buffer that none is known of.
    pub(super) fn put(&mut self, id: BufferId, gradient: Vec<f32>) {
        self.by.insert(id, gradient);
    }

    /// The gradient by a buffer, which nothing that comes next will read.
    pub(super) fn take(&mut self, id: BufferId) -> Option<Vec<f32>> {
        self.by.remove(&id)
    }

    /// The gradient so far by a buffer of so many elements, to be added to.
    fn of(&mut self, id: BufferId, elements: usize) -> &mut Vec<f32> {
        self.by.entry(id).or_insert_with(|| vec![0.0; elements])
    }

    fn add(&mut self, id: BufferId, gradient: &[f32]) {
        let sums = self.of(id, gradient.len());
        sums.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
    }
}

/// What steps in reverse need of the weights.
pub(super) struct SegmentWeights {
    /// The weight of each linear, turned over.
    transposed: BTreeMap<TensorId, Encoded>,
    rope: RopeTable,
    /// The table of layers that turn nothing.
    unturned: RopeTable,
}

/// Who is shown what a linear read, and the gradient by what it gave.
type Show<'a> = dyn FnMut(&[f32], &[f32]) -> Result<(), QuantizeError> + 'a;

impl SegmentWeights {
    pub(super) fn new(forward: &Forward, steps: &Range<usize>) -> SegmentWeights {
        let ids = forward.program().steps[steps.clone()].iter().filter_map(|step| match step.op {
            Op::Linear { weight, .. } => Some(weight),
            _ => None,
        });
        let transposed = ids.map(|id| (id, transposed(forward, id))).collect();
        let model = forward.model();
        let rope = RopeTable::new(&model.rope.inv_frequencies, model.rope.scale, forward.max_tokens());
        SegmentWeights { transposed, rope, unturned: RopeTable::new(&[], 1.0, forward.max_tokens()) }
    }

    /// Takes one step in reverse.
    pub(super) fn step(
        &self,
        forward: &Forward,
        op: &Op,
        batch: &TokenBatch,
        tape: &Tape,
        gradients: &mut Gradients,
        show: &mut Show<'_>,
    ) -> Result<(), QuantizeError> {
        match *op {
            Op::Embed { out, .. } => {
                if let Some(mut gradient) = gradients.take(out) {
                    // By the rows as the table has them.
                    let scale = forward.model().embedding_scale as f32;
                    gradient.iter_mut().for_each(|g| *g *= scale);
                    show(&[], &gradient)?;
                }
            }
            Op::Linear { x, weight, out, .. } => {
                let Some(by_out) = gradients.take(out) else { return Ok(()) };
                show(tape.get(x), &by_out)?;
                let transposed = &self.transposed[&weight];
                let mut by_x = vec![0.0; tape.get(x).len()];
                linear::panel(LinearArgs {
                    x: &by_out,
                    weight: transposed.view(),
                    bias: None,
                    out: &mut by_x,
                });
                gradients.add(x, &by_x);
            }
            Op::RmsNorm { x, weight, eps, out } => {
                let Some(by_out) = gradients.take(out) else { return Ok(()) };
                let x_values = tape.get(x);
                let by_x = gradients.of(x, x_values.len());
                gradient::rms_norm(x_values, vector(forward, weight), eps, &by_out, by_x);
            }
            Op::AddRmsNorm { x, residual, weight, eps, sum, out } => {
                let sums = tape.get(sum);
                let mut by_sum = gradients.take(sum).unwrap_or_else(|| vec![0.0; sums.len()]);
                if let Some(by_out) = gradients.take(out) {
                    gradient::rms_norm(sums, vector(forward, weight), eps, &by_out, &mut by_sum);
                }
                gradients.add(x, &by_sum);
                gradients.add(residual, &by_sum);
            }
            Op::Add { a, b, out } => {
                let Some(by_out) = gradients.take(out) else { return Ok(()) };
                gradients.add(a, &by_out);
                gradients.add(b, &by_out);
            }
            // Queries, keys and values are taken back at once by the attention that reads them.
            Op::RopeAppend { .. } => (),
            Op::PagedAttention { layer, out, .. } => {
                let Some(by_out) = gradients.take(out) else { return Ok(()) };
                let qkv = appended(forward, layer);
                let values = tape.get(qkv);
                let by_qkv = gradients.of(qkv, values.len());
                let turns = !forward.model().inv_frequencies(layer).is_empty();
                let rope = if turns { &self.rope } else { &self.unturned };
                gradient::attention(shape(forward, layer), rope, &batch.lengths, values, &by_out, by_qkv);
            }
            Op::SiluMul { gate_up, out } => {
                let Some(by_out) = gradients.take(out) else { return Ok(()) };
                let (values, width) = (tape.get(gate_up), by_out.len() / batch.tokens().max(1));
                gradient::silu_mul(values, width, &by_out, gradients.of(gate_up, values.len()));
            }
            Op::Concat { ref parts, out } => {
                let Some(by_out) = gradients.take(out) else { return Ok(()) };
                let (rows, mut at) = (batch.tokens().max(1), 0);
                let width = by_out.len() / rows;
                for &part in parts {
                    let own = tape.get(part).len() / rows;
                    let columns = by_out.chunks_exact(width).flat_map(|row| &row[at..at + own]);
                    gradients.add(part, &columns.copied().collect::<Vec<f32>>());
                    at += own;
                }
            }
            Op::Gather { x, out } => {
                let Some(by_out) = gradients.take(out) else { return Ok(()) };
                let values = tape.get(x);
                let width = values.len() / batch.tokens().max(1);
                let by_x = gradients.of(x, values.len());
                for (&row, by_out) in batch.output_rows().iter().zip(by_out.chunks_exact(width)) {
                    let to = by_x[row as usize * width..][..width].iter_mut();
                    to.zip(by_out).for_each(|(to, g)| *to += g);
                }
            }
        }
        Ok(())
    }
}

fn shape(forward: &Forward, layer: u64) -> AttentionShape {
    let model = forward.model();
    AttentionShape {
        heads: model.heads as usize,
        kv_heads: model.kv_heads as usize,
        head_dim: model.head_dim as usize,
        window: model.window(layer).map(|window| window as usize),
    }
}

/// The queries, keys and values that a layer's attention reads, before they are turned.
fn appended(forward: &Forward, of: u64) -> BufferId {
    let append = |step: &samp_abi::plan::Step| match step.op {
        Op::RopeAppend { qkv, layer, .. } if layer == of => Some(qkv),
        _ => None,
    };
    forward.program().steps.iter().find_map(append).expect("attention reads what was appended")
}

/// A norm's weight.
fn vector(forward: &Forward, id: TensorId) -> &[f32] {
    forward.weights().tensor(id).part_as(Component::Values)
}

/// A weight's transpose as a linear of its own.
fn transposed(forward: &Forward, id: TensorId) -> Encoded {
    let (values, cols) = (forward.weights().matrix(id), forward.weights().cols(id));
    let rows = values.len() / cols;
    let mut turned = vec![0.0; values.len()];
    for (row, values) in values.chunks_exact(cols).enumerate() {
        values.iter().enumerate().for_each(|(col, &value)| turned[col * rows + row] = value);
    }
    stored(&turned, rows, Layout::Rows16)
}
