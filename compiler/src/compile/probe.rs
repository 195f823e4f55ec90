//! The golden probe of a plan: run once on this machine's CPU, beside a run whose activations are rounded as other devices
//! round them.

use std::{path::Path, sync::Arc};

use samp_abi::{ElementType, Format, TargetName, plan::Step};
use samp_kernels::{attention::SequenceSlice, registry};
use samp_runtime::{Batch, DeviceKind, EngineError, Executable, OpenPlan, Replay};

use crate::emit::{ProbeError, ProbeLogits};

/// Significant bits that are left to results in f32 which devices add up in different orders: thousands of terms, of which
/// each sum keeps 24.
const SUMMED_BITS: u32 = 20;
/// The same where kernels round inputs to 15 bits of the largest in a block, which other devices do not.
const ROUNDED_INPUT_BITS: u32 = 12;
/// The same where they round levels of nf4 to 2047ths of the largest besides: 3.5e-4 of a typical weight, as ten bits do.
const ROUNDED_LEVEL_BITS: u32 = 10;

/// The device of this machine's CPU that runs plans of `target`: what was compiled for other hardware, the reference
/// runs.
pub fn device_on_cpu(target: TargetName) -> DeviceKind {
    if target == TargetName::Cpu { DeviceKind::Cpu } else { DeviceKind::Reference }
}

/// Runs a freshly written plan where this machine can, on the CPU: the logits after `positions` of one sequence, exact and
/// with rounded activations. Both runs share each step's weights, which are let go of after it.
pub(super) fn probe(dir: &Path, token_ids: &[u32], positions: &[u32]) -> Result<ProbeLogits, ProbeError> {
    let plan = Arc::new(samp_runtime::open_staged(dir)?);
    let manifest = plan.manifest();
    let pages: Vec<u32> = (0..token_ids.len().div_ceil(manifest.kv.page_tokens as usize) as u32).collect();
    let replay = || {
        let device = device_on_cpu(manifest.target);
        Replay::new(device, Executable::from_plan(&plan), plan.clone(), pages.len() as u32)
            .map_err(EngineError::from)
    };
    let (mut exact, mut rounded) = (replay()?, replay()?);
    let mut logits = ProbeLogits::default();
    let max_tokens = manifest.limits.max_tokens as usize;
    for (index, tokens) in token_ids.chunks(max_tokens).enumerate() {
        let start = index * max_tokens;
        let sequence = SequenceSlice { start, tokens: tokens.len(), pages: &pages };
        let within =
            |&position: &u32| (position as usize).checked_sub(start).filter(|&row| row < tokens.len());
        let output_rows: Vec<u32> = positions.iter().filter_map(within).map(|row| row as u32).collect();
        let batch = Batch { token_ids: tokens, sequences: &[sequence], output_rows: &output_rows };
        for (at, step) in manifest.program.steps.iter().enumerate() {
            exact.run(at..at + 1, &batch, None);
            rounded.run(at..at + 1, &batch, None);
            round_results(&plan, step, &mut rounded, &batch)?;
            step.op.tensors().into_iter().for_each(|id| plan.release(id));
        }
        let rows = |replay: &mut Replay<_>| {
            let logits = replay.buffer(manifest.program.logits, &batch);
            logits.chunks_exact(manifest.model.vocab_size as usize).map(<[f32]>::to_vec).collect::<Vec<_>>()
        };
        logits.exact.extend(rows(&mut exact));
        logits.rounded.extend(rows(&mut rounded));
    }
    Ok(logits)
}

/// Rounds what a step has written: to the type that the target stores it in, or to the bits that are the same on every device.
fn round_results(
    plan: &OpenPlan,
    step: &Step,
    replay: &mut Replay<Arc<OpenPlan>>,
    batch: &Batch<'_>,
) -> Result<(), ProbeError> {
    let rounds_inputs = (step.kernels.iter())
        .filter_map(|choice| registry::find(&choice.kernel))
        .any(|kernel| kernel.rounds_inputs);
    let formats = step.op.tensors().into_iter().map(|id| plan.manifest().tensors[id.0 as usize].format);
    let bits = match rounds_inputs {
        true if formats.into_iter().any(|format| format == Format::Nf4) => ROUNDED_LEVEL_BITS,
        true => ROUNDED_INPUT_BITS,
        false => SUMMED_BITS,
    };
    for id in step.op.writes() {
        let dtype = plan.manifest().program.buffers[id.0 as usize].dtype;
        let values = replay.buffer(id, batch);
        match dtype {
            ElementType::F16 => {
                let largest = values.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
                values.iter_mut().for_each(|x| *x = half::f16::from_f32(*x).to_f32());
                if largest.is_finite() && values.iter().any(|x| x.is_infinite()) {
                    return Err(ProbeError::Overflow { step: step.label.clone(), largest });
                }
            }
            ElementType::Bf16 => values.iter_mut().for_each(|x| *x = half::bf16::from_f32(*x).to_f32()),
            _ => values.iter_mut().for_each(|x| *x = round_to(*x, bits)),
        }
    }
    Ok(())
}

/// The nearest number of so many significant bits, of two the even one.
fn round_to(x: f32, bits: u32) -> f32 {
    let dropped = f32::MANTISSA_DIGITS - bits;
    let (pattern, half) = (x.to_bits(), 1u32 << (dropped - 1));
    let even = (pattern >> dropped) & 1;
    // A carry into the exponent is right: the next number is a power of two.
    f32::from_bits(pattern.wrapping_add(half - 1 + even) & !((1 << dropped) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_their_types_round_them() {
        let numbers = [0.0f32, 1.0, -1.0, 1.0004883, 1.0014648, 3.0000001, 0.1, -7.3e-3, 1234.567, 65519.0];
        for x in numbers {
            assert_eq!(round_to(x, 8), half::bf16::from_f32(x).to_f32(), "{x}");
            assert_eq!(round_to(x, 11), half::f16::from_f32(x).to_f32(), "{x}");
        }
        assert_eq!(round_to(-1.9999999, 20), -2.0);
    }
}
