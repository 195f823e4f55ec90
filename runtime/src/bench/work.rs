//! What a step of a plan has to read and to compute, whichever kernels do it.

use samp_abi::plan::{BufferId, Op, Plan, RowDim, TensorId};

/// Bytes of weights that a step over `tokens` tokens reads, with logits wanted of each of as many outputs: every tensor once,
/// of the embedding the tokens' rows. A head that is tied to the embedding is read whole.
pub(super) fn weight_bytes(plan: &Plan, tokens: u64) -> u64 {
    let tensor = |id: &TensorId| &plan.tensors[id.0 as usize];
    let read = |op: &Op| match op {
        Op::Embed { weight, .. } => {
            let table = tensor(weight);
            table.bytes() * tokens.min(table.rows) / table.rows
        }
        other => other.tensors().iter().map(|id| tensor(id).bytes()).sum(),
    };
    plan.program.steps.iter().map(|step| read(&step.op)).sum()
}

/// Operations of reading a prompt of `tokens` tokens up to the logits of its last, a multiply–add counted as two: linears, and
/// attention of each token to those before it and itself.
pub(super) fn prompt_operations(plan: &Plan, tokens: u64) -> f64 {
    let rows = |buffer: BufferId| match plan.program.buffers[buffer.0 as usize].rows {
        RowDim::Tokens => tokens as f64,
        RowDim::Outputs => 1.0,
    };
    let pairs = |layer| -> u64 {
        let window = plan.model.window(layer).unwrap_or(u64::MAX);
        (1..=tokens).map(|position| position.min(window)).sum()
    };
    let multiply_adds = |op: &Op| match op {
        Op::Linear { weight, out, .. } => plan.tensors[weight.0 as usize].weights() as f64 * rows(*out),
        // A product with a key, and a sum of values, for each channel of each head.
        Op::PagedAttention { layer, .. } => {
            (2 * pairs(*layer) * plan.model.heads * plan.model.head_dim) as f64
        }
        _ => 0.0,
    };
    2.0 * plan.program.steps.iter().map(|step| multiply_adds(&step.op)).sum::<f64>()
}
