//! The program as dataflow: every buffer is written once and read only after, buffers in use at the same time
//! share no byte of the arena, each layer's cache is appended to before it is read.

use std::collections::BTreeMap;

use samp_abi::{
    ElementType,
    plan::{Buffer, BufferId, MANIFEST_FILE, Op, PART_ALIGNMENT, Plan, Step, bounds::MAX_ARENA_BYTES},
};
use samp_kernels::target::Target;

use super::fault::{Fault, Findings};

const MAX_WIDTH: u64 = 1 << 32;

/// Checks the program apart from its operands' shapes. Needs the model's numbers to hold.
pub(super) fn check(plan: &Plan, findings: &mut Findings) -> bool {
    let before = findings.count();
    check_buckets(plan, findings);
    check_references(plan, findings);
    if findings.count() == before {
        check_buffers(plan, findings);
    }
    if findings.count() == before {
        let lives = check_dataflow(plan, findings);
        check_cache_order(plan, findings);
        if findings.count() == before {
            check_overlaps(plan, &lives, findings);
        }
    }
    findings.count() == before
}

/// The name of a step in reports.
pub(super) fn step_name(index: usize, step: &Step) -> String {
    format!("step {index} `{}` ({})", step.label.escape_debug(), step.op.kind())
}

fn check_buckets(plan: &Plan, findings: &mut Findings) {
    let buckets = &plan.program.buckets;
    let ascends = buckets.first().is_some_and(|&b| b > 0) && buckets.is_sorted_by(|a, b| a < b);
    let mut place = findings.at(MANIFEST_FILE, "program.buckets");
    let max = plan.limits.max_tokens;
    place.check(
        ascends && buckets.last() == Some(&max),
        Fault::Buckets,
        format_args!("ascending bounds up to limits.max_tokens = {max}"),
        format_args!("{buckets:?}"),
    );
}

fn check_references(plan: &Plan, findings: &mut Findings) {
    let (buffers, tensors) = (plan.program.buffers.len(), plan.tensors.len());
    for (index, step) in plan.program.steps.iter().enumerate() {
        let mut place = findings.at(MANIFEST_FILE, step_name(index, step));
        for buffer in step.op.reads().into_iter().chain(step.op.writes()) {
            let known = (buffer.0 as usize) < buffers;
            place.check(known, Fault::UnknownBuffer, format_args!("one of {buffers} buffers"), buffer);
        }
        for tensor in step.op.tensors() {
            let known = (tensor.0 as usize) < tensors;
            place.check(known, Fault::UnknownTensor, format_args!("one of {tensors} tensors"), tensor);
        }
    }
    let logits = plan.program.logits;
    let known = (logits.0 as usize) < buffers;
    let mut place = findings.at(MANIFEST_FILE, "program.logits");
    place.check(known, Fault::UnknownBuffer, format_args!("one of {buffers} buffers"), logits);
}

fn check_buffers(plan: &Plan, findings: &mut Findings) {
    let (arena, types) = (plan.memory.arena_bytes, Target::of(plan.target).activations);
    // Kernels take and give one type throughout.
    let activations = plan.program.activations();
    let activations = if types.contains(&activations) { activations } else { types[0] };
    let mut end = 0;
    for (index, buffer) in plan.program.buffers.iter().enumerate() {
        let mut place = findings.at(MANIFEST_FILE, format_args!("buffer %{index}"));
        let &Buffer { width, dtype, offset, bytes, .. } = buffer;
        if !place.in_range("width", width, MAX_WIDTH) {
            continue;
        }
        let known = dtype == ElementType::F32 || dtype == activations;
        place.check(
            known,
            Fault::Buffer,
            format_args!("type F32 or {activations:?}"),
            format_args!("{dtype:?}"),
        );
        let needed = plan.limits.max_tokens * width * dtype.bytes();
        place.check(bytes == needed, Fault::Buffer, format_args!("{needed} bytes"), bytes);
        let aligned = offset.is_multiple_of(PART_ALIGNMENT);
        place.check(aligned, Fault::Buffer, "an offset in multiples of 64", offset);
        let stop = offset.checked_add(bytes).filter(|&stop| stop <= arena);
        let expected = format_args!("an end within the arena's {arena} bytes");
        place.check(stop.is_some(), Fault::Buffer, expected, format_args!("{offset} + {bytes}"));
        end = end.max(stop.unwrap_or(0));
    }
    let mut place = findings.at(MANIFEST_FILE, "memory.arena_bytes");
    place.in_range("arena_bytes", arena, MAX_ARENA_BYTES);
    let needed = end.next_multiple_of(PART_ALIGNMENT);
    place.check(arena == needed, Fault::Memory, format_args!("{needed}, where the last buffer ends"), arena);
}

/// For each buffer the index of the last step that needs its contents.
type Lives = Vec<usize>;

fn check_dataflow(plan: &Plan, findings: &mut Findings) -> Lives {
    let program = &plan.program;
    let mut written = vec![false; program.buffers.len()];
    let mut lives = vec![0; program.buffers.len()];
    for (index, step) in program.steps.iter().enumerate() {
        let mut place = findings.at(MANIFEST_FILE, step_name(index, step));
        let reads = step.op.reads();
        for (at, buffer) in reads.iter().enumerate() {
            let ready = written[buffer.0 as usize] && !reads[..at].contains(buffer);
            place.check(ready, Fault::Dataflow, "distinct operands written before", buffer);
            lives[buffer.0 as usize] = index;
        }
        for buffer in step.op.writes() {
            let first = !std::mem::replace(&mut written[buffer.0 as usize], true);
            place.check(first, Fault::Dataflow, "a result that no step wrote before", buffer);
            lives[buffer.0 as usize] = index;
        }
    }
    for (index, _) in written.iter().enumerate().filter(|(_, written)| !**written) {
        let mut place = findings.at(MANIFEST_FILE, format_args!("buffer %{index}"));
        place.wrong(Fault::Dataflow, "a step that writes it", "none");
    }
    lives[program.logits.0 as usize] = program.steps.len();
    lives
}

/// Walks the steps with the set of live ranges; a result must be free of all of them.
fn check_overlaps(plan: &Plan, lives: &Lives, findings: &mut Findings) {
    let buffers = &plan.program.buffers;
    let mut live: BTreeMap<u64, BufferId> = BTreeMap::new();
    let end = |id: BufferId| buffers[id.0 as usize].offset + buffers[id.0 as usize].bytes;
    for (index, step) in plan.program.steps.iter().enumerate() {
        let mut place = findings.at(MANIFEST_FILE, step_name(index, step));
        for result in step.op.writes() {
            let buffer = &buffers[result.0 as usize];
            if let Some(reused) = in_place_operand(&step.op, result, buffers)
                && lives[reused.0 as usize] == index
                && live.get(&buffer.offset) == Some(&reused)
            {
                live.remove(&buffer.offset);
            }
            let before = live.range(..buffer.offset).next_back().filter(|(_, id)| end(**id) > buffer.offset);
            let after = live.range(buffer.offset..end(result)).next();
            if let Some((_, other)) = before.or(after) {
                place.wrong(Fault::Overlap, format_args!("{result} apart from {other}"), "shared bytes");
            } else {
                live.insert(buffer.offset, result);
            }
        }
        for id in step.op.reads().into_iter().chain(step.op.writes()) {
            if lives[id.0 as usize] <= index && live.get(&buffers[id.0 as usize].offset) == Some(&id) {
                live.remove(&buffers[id.0 as usize].offset);
            }
        }
    }
}

/// The operand whose whole range `result` takes over, where the operation can compute in place: the sum of
/// `AddRmsNorm`.
fn in_place_operand(op: &Op, result: BufferId, buffers: &[Buffer]) -> Option<BufferId> {
    let &Op::AddRmsNorm { x, residual, sum, .. } = op else { return None };
    let range = |id: BufferId| (buffers[id.0 as usize].offset, buffers[id.0 as usize].bytes);
    [residual, x].into_iter().find(|&operand| result == sum && range(operand) == range(sum))
}

fn check_cache_order(plan: &Plan, findings: &mut Findings) {
    let layers = plan.model.layers;
    let mut state = vec![0u8; layers as usize];
    for (index, step) in plan.program.steps.iter().enumerate() {
        let (layer, expected) = match step.op {
            Op::RopeAppend { layer, .. } => (layer, 0),
            Op::PagedAttention { layer, .. } => (layer, 1),
            _ => continue,
        };
        let mut place = findings.at(MANIFEST_FILE, step_name(index, step));
        if place.check(layer < layers, Fault::CacheOrder, format_args!("a layer below {layers}"), layer) {
            let done = state[layer as usize];
            let found = format_args!("{done} of its two steps done");
            place.check(done == expected, Fault::CacheOrder, format_args!("{expected} done"), found);
            state[layer as usize] = done.saturating_add(1);
        }
    }
    for (layer, done) in state.iter().enumerate().filter(|(_, done)| **done != 2) {
        let mut place = findings.at(MANIFEST_FILE, format_args!("layer {layer}"));
        place.wrong(
            Fault::CacheOrder,
            "one rope_append, then one paged_attention",
            format_args!("{done} steps"),
        );
    }
}
