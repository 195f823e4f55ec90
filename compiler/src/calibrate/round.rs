//! The final weights: linear after linear in program order, each rounded under the second moment of the inputs that the
//! rounded weights before it give.

use samp_abi::{Format, plan::TensorId};
use samp_kernels::{
    encoded::Encoded,
    format::encode,
    quantize::{Damped, Damping, Factor, Order, Rounding, Rows, SecondMoment, gptq, nearest},
};
use samp_passes::transform::Transform;

use super::{CalibrationError, Forward, LinearStep, RoundedStore, State, TokenBatch};
use crate::emit::{PlanSpec, TensorSpec};

/// The unquantized program, and the same program whose weights are rounded one after another.
pub struct Programs {
    /// With the original weights.
    pub original: Forward,
    /// With what rounding made of them so far.
    pub rounded: Forward,
}

/// Rounds every tensor of `spec`, whose tensors and steps are those of the programs, leaves the decoded values in the
/// rounded program, and puts every tensor that has transforms into `store`.
///
/// Holds the activations of all batches between two steps, of both programs, and the moments of one linear.
pub fn round(
    programs: &mut Programs,
    spec: &PlanSpec,
    batches: &[TokenBatch],
    store: &mut RoundedStore,
) -> Result<(), CalibrationError> {
    let Programs { original, rounded: forward } = programs;
    *forward.weights_mut() = original.weights().clone();
    let strength: f32 = std::env::var("SAMP_GPTAQ").map_or(0.0, |v| v.parse().unwrap());
    let linears = forward.linears();
    for (index, tensor) in spec.tensors.iter().enumerate() {
        let id = TensorId(index as u32);
        if linears.iter().all(|linear| linear.weight != id) {
            let encoded = plain(&forward.weights().matrix(id), tensor)?;
            settle(forward, (id, tensor), &encoded, store)?;
        }
    }
    let mut states = vec![State::default(); batches.len()];
    let mut originals = vec![State::default(); batches.len()];
    for linear in &linears {
        let tensor = &spec.tensors[linear.weight.0 as usize];
        let how =
            tensor.transforms.iter().rev().find(|t| matches!(t, Transform::Compensate | Transform::Refine));
        let encoded = match how {
            None => plain(&forward.weights().matrix(linear.weight), tensor)?,
            Some(how) => {
                let moment = advance_all(forward, batches, &mut states, linear)?;
                let mut values = forward.weights().matrix(linear.weight);
                if strength > 0.0 {
                    let (rows, cols) = (tensor.rows as usize, tensor.cols as usize);
                    let mut cross = samp_kernels::quantize::CrossMoment::new(rows, cols);
                    for ((batch, state), before) in batches.iter().zip(&states).zip(&mut originals) {
                        let after = linear.sum_step + 1;
                        *before = original.advance(batch, before, linear.step, None);
                        let wanted = original.advance(batch, before, after, None);
                        let found = forward.advance(batch, state, after, None);
                        let (wanted, found) = (wanted.get(linear.sum), found.get(linear.sum));
                        assert!(!wanted.is_empty());
                        let short: Vec<f32> =
                            wanted.iter().zip(found).map(|(w, f)| strength * (w - f)).collect();
                        cross.add(&short, state.get(linear.x));
                    }
                    let damp: f64 = std::env::var("SAMP_DAMP").map_or(0.01, |v| v.parse().unwrap());
                    let factor = Factor::new(&moment, Order::Natural, Damping { mean: damp, diagonal: 0.0 });
                    values = cross.correct(&values, &factor);
                }
                let (encoded, _) = rounded(&values, tensor.format, Some(how), &moment)
                    .map_err(|source| CalibrationError::Encode { tensor: tensor.name.clone(), source })?;
                encoded
            }
        };
        settle(forward, (linear.weight, tensor), &encoded, store)?;
    }
    Ok(())
}

/// Makes the encoded tensor the one that is run with, and keeps it if emission could not make it.
fn settle(
    forward: &mut Forward,
    (id, tensor): (TensorId, &TensorSpec),
    encoded: &Encoded,
    store: &mut RoundedStore,
) -> Result<(), CalibrationError> {
    forward.weights_mut().exchange(id, encoded.view());
    if tensor.transforms.is_empty() {
        Ok(())
    } else {
        store.put(&tensor.name, encoded).map_err(CalibrationError::Store)
    }
}

/// Brings every batch before `linear` and sums the second moment of its inputs.
pub fn advance_all(
    forward: &mut Forward,
    batches: &[TokenBatch],
    states: &mut [State],
    linear: &LinearStep,
) -> Result<SecondMoment, CalibrationError> {
    let mut moment = SecondMoment::new(forward.weights().cols(linear.weight));
    for (batch, state) in batches.iter().zip(states) {
        *state = forward.advance(batch, state, linear.step, None);
        moment.add(state.get(linear.x)).map_err(|source| CalibrationError::inputs(&linear.label, source))?;
    }
    Ok(moment)
}

/// `values` in `format`, rounded as the transform `how` says.
pub fn rounded(
    values: &[f32],
    format: Format,
    how: Option<&Transform>,
    moment: &SecondMoment,
) -> Result<(Encoded, Option<Damped>), samp_kernels::format::EncodeError> {
    let (cols, rounding) = (moment.cols(), Rounding::to(format));
    let (rows, source) = (values.len() / cols, Rows { cols, values });
    match how {
        Some(Transform::Compensate) => {
            // What matters most is rounded first and made up for by the rest; blocks keep their scale.
            let order = Order::Descending { block: format.column_multiple() as usize };
            let factor = Factor::new(moment, order, Damping::default());
            Ok((gptq(&source, rows, &factor, rounding)?.encoded, Some(factor.damped())))
        }
        Some(Transform::Refine) => Ok((nearest(&source, rows, &moment.diagonal(), rounding)?, None)),
        _ => Ok((encode(format, rows, cols, &source, &[])?, None)),
    }
}

/// A tensor encoded as it is.
fn plain(values: &[f32], tensor: &TensorSpec) -> Result<Encoded, CalibrationError> {
    let cols = tensor.cols as usize;
    encode(tensor.format, tensor.rows as usize, cols, &Rows { cols, values }, &[])
        .map_err(|source| CalibrationError::Encode { tensor: tensor.name.clone(), source })
}
