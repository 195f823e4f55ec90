//! The final weights: linear after linear in program order, each rounded under the second moment of the inputs that the
//! rounded weights before it give.

use samp_abi::{Format, Layout, plan::TensorId};
use samp_kernels::{
    encoded::Encoded,
    format::encode,
    quantize::{Damped, Damping, Factor, Order, Rounding, Rows, SecondMoment, gptq, nearest},
};
use samp_passes::transform::Transform;

use super::{CalibrationError, Forward, LinearStep, State, TokenBatch};
use crate::emit::PlanSpec;

/// A rounded weight, row-major.
#[derive(Clone, Debug)]
pub struct Rounded {
    /// The tensor of the plan.
    pub id: TensorId,
    /// Its name.
    pub name: String,
    /// What it became.
    pub encoded: Encoded,
    /// Whether the second moment took more damping than asked for.
    pub damped: Option<Damped>,
}

/// Rounds every tensor of `spec`, whose tensors and steps are those of `forward`, and leaves the decoded values in
/// `forward`. `take` is handed each linear's weight, in program order.
///
/// Holds the activations of all batches between two steps, and one second moment.
pub fn round(
    forward: &mut Forward,
    spec: &PlanSpec,
    batches: &[TokenBatch],
    take: &mut dyn FnMut(Rounded) -> Result<(), CalibrationError>,
) -> Result<(), CalibrationError> {
    let linears = forward.linears();
    round_tables(forward, spec, &linears)?;
    let mut states = vec![State::default(); batches.len()];
    for linear in &linears {
        let moment = advance_all(forward, batches, &mut states, linear)?;
        let rounded = round_linear(forward, spec, linear, &moment)?;
        forward.weights_mut().exchange(linear.weight, rounded.encoded.view());
        take(rounded)?;
    }
    Ok(())
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

/// Weights that no linear reads (the embedding) are stored as they are.
fn round_tables(
    forward: &mut Forward,
    spec: &PlanSpec,
    linears: &[LinearStep],
) -> Result<(), CalibrationError> {
    for (index, tensor) in spec.tensors.iter().enumerate().filter(|(_, t)| t.format != Format::F32) {
        let id = TensorId(index as u32);
        if linears.iter().all(|linear| linear.weight != id) {
            let values = forward.weights().matrix(id);
            let encoded = plain(&values, tensor.cols as usize, tensor.format, &tensor.name)?;
            forward.weights_mut().exchange(id, encoded.view());
        }
    }
    Ok(())
}

fn round_linear(
    forward: &Forward,
    spec: &PlanSpec,
    linear: &LinearStep,
    moment: &SecondMoment,
) -> Result<Rounded, CalibrationError> {
    let (id, tensor) = (linear.weight, &spec.tensors[linear.weight.0 as usize]);
    let values = forward.weights().matrix(id);
    let how = tensor.transforms.iter().rev().find(|t| matches!(t, Transform::Compensate | Transform::Refine));
    let (encoded, damped) = rounded(&values, tensor.format, how, moment)
        .map_err(|source| CalibrationError::Encode { tensor: tensor.name.clone(), source })?;
    debug_assert_eq!(encoded.layout, Layout::RowMajor);
    Ok(Rounded { id, name: tensor.name.clone(), encoded, damped })
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

fn plain(values: &[f32], cols: usize, format: Format, name: &str) -> Result<Encoded, CalibrationError> {
    encode(format, values.len() / cols, cols, &Rows { cols, values }, &[])
        .map_err(|source| CalibrationError::Encode { tensor: name.into(), source })
}
