//! Gives every activation its place in the arena and states what a step needs.
//!
//! Before: `%y = samp.linear(%x, %w)`
//!
//! After: `%y = samp.linear(%x, %w) {offsets = [4096]}`, and on the module `samp.arena_bytes`, `samp.max_tokens`, …
//!
//! Requires: kernels are selected, so that the order of execution is final. Ensures: values alive at the same time do not
//! overlap, except that a fused sum takes the place of its residual where that dies there. Does not: size the KV pool; the
//! runtime does, in pages, from what it is given.

use std::collections::BTreeMap;

use samp_abi::plan::{Limits, bounds::MAX_ARENA_BYTES};
use samp_ir::{AddRmsNormOp, Dataflow, Diagnostic, LiveRange, Module, OpId, ValueId, WeightOp};

use crate::error_code;
use crate::{
    Changed,
    arena::{Lifetime, place},
};

/// What memory planning needs to know besides the graph.
#[derive(Clone, Copy, Debug)]
pub struct MemoryInputs {
    /// The largest step.
    pub limits: Limits,
    /// Keys and values of one token over all layers, in bytes.
    pub kv_bytes_per_token: u64,
}

/// Sets offsets and the module's memory attributes.
pub fn plan_memory(module: &mut Module, inputs: &MemoryInputs) -> Result<Changed, Diagnostic> {
    let dataflow = Dataflow::new(module);
    let slots = share_slots(module, &dataflow.live_ranges(), inputs.limits.max_tokens)?;
    let placement = place(&slots.lifetimes);
    if placement.bytes > MAX_ARENA_BYTES {
        let found =
            format!("activations of {} tokens take {} bytes", inputs.limits.max_tokens, placement.bytes);
        return Err(too_large(found));
    }
    for op in dataflow.order() {
        let results = module.op(op).results();
        let offsets: Vec<u64> = results
            .iter()
            .filter_map(|v| slots.by_value.get(v))
            .map(|&slot| placement.offsets[slot])
            .collect();
        module.set_offsets(op, &offsets);
    }
    let limits = inputs.limits;
    let weights_bytes = weights_bytes(module);
    for (name, value) in [
        ("samp.arena_bytes", placement.bytes),
        ("samp.weights_bytes", weights_bytes),
        ("samp.kv_bytes_per_token", inputs.kv_bytes_per_token),
        ("samp.max_tokens", limits.max_tokens),
        ("samp.max_sequences", limits.max_sequences),
        ("samp.max_context", limits.max_context),
    ] {
        module.set_integer(name, value);
    }
    Ok(Changed(slots.by_value.len()))
}

/// Which slot of the arena each value has; a slot serves one value after another.
#[derive(Default)]
struct Slots {
    lifetimes: Vec<Lifetime>,
    by_value: BTreeMap<ValueId, usize>,
}

/// Gives every value a place of its own, except that a fused sum takes over its residual's where that is not read
/// afterwards: the kernel adds in place.
fn share_slots(module: &Module, ranges: &[LiveRange], max_tokens: u64) -> Result<Slots, Diagnostic> {
    let mut slots = Slots::default();
    for range in ranges {
        let sum: Option<AddRmsNormOp> =
            module.defined_by(range.value).filter(|op: &AddRmsNormOp| op.sum() == range.value);
        let residual = sum
            .filter(|op| op.x() != op.residual())
            .and_then(|op| slots.by_value.get(&op.residual()).copied());
        let dying = residual.filter(|&slot| slots.lifetimes[slot].last == range.start);
        let slot = dying.unwrap_or(slots.lifetimes.len());
        if dying.is_some() {
            slots.lifetimes[slot].last = range.end;
        } else {
            let bytes = bytes(module, range.value, max_tokens)?;
            slots.lifetimes.push(Lifetime { first: range.start, last: range.end, bytes });
        }
        slots.by_value.insert(range.value, slot);
    }
    Ok(slots)
}

/// All weights as they will be stored.
fn weights_bytes(module: &Module) -> u64 {
    let stored = module.views::<WeightOp>().filter_map(|w| {
        let ty = w.tensor_type();
        Some(w.layout()?.bytes(w.format()?, ty.rows()?, ty.width()))
    });
    stored.sum()
}

/// Bytes of a value at the limits.
fn bytes(module: &Module, value: ValueId, max_tokens: u64) -> Result<u64, Diagnostic> {
    let ty = module.tensor_type(value);
    let row = ty.width().checked_mul(ty.dtype.bytes());
    // So bounded, the sum over all values does not overflow.
    let bytes = row.and_then(|row| row.checked_mul(max_tokens)).filter(|bytes| *bytes <= MAX_ARENA_BYTES);
    bytes.ok_or_else(|| {
        let op: Option<OpId> = module.defining_op(value).map(|op| op.id());
        let label = op.map_or("an input", |op| module.op(op).label());
        too_large(format!("{ty} of {max_tokens} tokens takes more")).at_op(label)
    })
}

fn too_large(found: String) -> Diagnostic {
    let message = format!("expected an arena of at most {MAX_ARENA_BYTES} bytes, found that {found}");
    Diagnostic::bad_input(error_code::ARENA_TOO_LARGE, message).hint("lower --max-num-batched-tokens")
}
