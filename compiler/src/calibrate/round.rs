//! The final weights: linear after linear in program order, each first corrected for what the rounded weights before it
//! changed, then rounded under the second moment of the inputs that they give.

use samp_abi::{Format, plan::TensorId};
use samp_kernels::{
    encoded::Encoded,
    format::{EncodeError, encode},
    quantize::{CrossMoment, Damped, Damping, Factor, Order, Rounding, Rows, SecondMoment, gptq, nearest},
};
use samp_passes::transform::Transform;

use super::{CalibrationError, Forward, LinearInputs, LinearStep, RoundedStore, State, TokenBatch};
use crate::emit::{PlanSpec, TensorSpec};

/// The unquantized program, and the same program whose weights are rounded one after another.
pub struct Programs {
    /// With the original weights.
    pub original: Forward,
    /// With what rounding made of them so far.
    pub rounded: Forward,
}

/// Rounds every tensor of `spec`, whose tensors and steps are those of the programs, leaves the decoded values in the
/// rounded program, and puts every tensor that has transforms into `store`. `say` hears where a second moment took more
/// damping than usual.
///
/// Holds the activations of all batches between two steps, of both programs, and the moments of one linear.
pub fn round(
    programs: &mut Programs,
    spec: &PlanSpec,
    batches: &[TokenBatch],
    store: &mut RoundedStore,
    say: &dyn Fn(&str),
) -> Result<(), CalibrationError> {
    programs.rounded.set_weights(programs.original.weights().clone());
    let linears = programs.rounded.linears();
    for (index, tensor) in spec.tensors.iter().enumerate() {
        let id = TensorId(index as u32);
        if linears.iter().all(|linear| linear.weight != id || linear.tied) {
            let encoded = plain(&programs.rounded.weights().matrix(id), tensor)?;
            settle(&mut programs.rounded, (id, tensor), &encoded, store)?;
        }
    }
    let states = || vec![State::default(); batches.len()];
    let mut walk = Walk { programs, batches, rounded: states(), original: states(), say };
    for linear in linears.iter().filter(|linear| !linear.tied) {
        let tensor = &spec.tensors[linear.weight.0 as usize];
        let encoded = walk.encoded(linear, tensor)?;
        settle(&mut walk.programs.rounded, (linear.weight, tensor), &encoded, store)?;
    }
    Ok(())
}

/// Both programs on their way from linear to linear, with where every batch stands.
struct Walk<'a> {
    programs: &'a mut Programs,
    batches: &'a [TokenBatch],
    rounded: Vec<State>,
    original: Vec<State>,
    say: &'a dyn Fn(&str),
}

impl Walk<'_> {
    /// A linear's weight as its transforms say.
    fn encoded(&mut self, linear: &LinearStep, tensor: &TensorSpec) -> Result<Encoded, CalibrationError> {
        let values = self.programs.rounded.weights().matrix(linear.weight);
        let how = tensor.transforms.iter().rev();
        let how = how.clone().find(|t| matches!(t, Transform::Compensate | Transform::Refine));
        let corrects = tensor.transforms.contains(&Transform::Correct);
        if how.is_none() && !corrects {
            return plain(&values, tensor);
        }
        let forward = &mut self.programs.rounded;
        let LinearInputs { moment, .. } =
            LinearInputs::collect(forward, self.batches, &mut self.rounded, linear)?;
        let factor = factor(&moment, tensor.format);
        if let Some(note) = note(factor.damped()) {
            (self.say)(&format!("{}: {note}", tensor.name));
        }
        let values = if corrects { self.corrected(linear, &values, &factor) } else { values };
        let rounding = Rounding { outlier_columns: tensor.kept_columns(), ..Rounding::to(tensor.format) };
        rounded(&values, rounding, how, (&moment, &factor))
            .map_err(|source| CalibrationError::Encode { tensor: tensor.name.clone(), source })
    }

    /// The weights moved to where they make up for what the rounded weights before them changed: in the residual stream
    /// where the linear adds to it, else in the linear's inputs.
    fn corrected(&mut self, linear: &LinearStep, values: &[f32], factor: &Factor) -> Vec<f32> {
        let cols = self.programs.rounded.weights().cols(linear.weight);
        let rows = if linear.sum.is_some() { values.len() / cols } else { cols };
        let bias = linear.bias.map(|bias| self.programs.rounded.weights().matrix(bias)).unwrap_or_default();
        let mut cross = CrossMoment::new(rows, cols);
        for ((batch, rounded), original) in self.batches.iter().zip(&self.rounded).zip(&mut self.original) {
            let until = linear.sum.map_or(linear.step, |sum| sum.step + 1);
            *original = self.programs.original.advance(batch, original, until, None);
            let wanted = match linear.sum {
                Some(sum) => {
                    let mut wanted = difference(original.get(sum.after), rounded.get(sum.before));
                    // The bias is added whatever the weight.
                    wanted
                        .chunks_exact_mut(rows)
                        .for_each(|row| row.iter_mut().zip(&bias).for_each(|(w, b)| *w -= b));
                    wanted
                }
                None => difference(original.get(linear.x), rounded.get(linear.x)),
            };
            cross.add(&wanted, rounded.get(linear.x));
        }
        match linear.sum {
            Some(_) => cross.regress(values, factor),
            None => cross.correct_inputs(values, factor),
        }
    }
}

/// What the log says of a second moment that was not factored as asked.
fn note(damped: Damped) -> Option<String> {
    match damped {
        Damped::AsAsked => None,
        Damped::Raised(share) => Some(format!(
            "the second moment of its inputs is singular; the damping is raised to {share:e} of the mean diagonal"
        )),
        Damped::NoInput => Some(
            "no calibration token gives it an input other than zero; it is rounded to the nearest".into(),
        ),
    }
}

fn difference(wanted: &[f32], found: &[f32]) -> Vec<f32> {
    wanted.iter().zip(found).map(|(wanted, found)| wanted - found).collect()
}

/// Makes the encoded tensor the one that is run with, and keeps it if emission could not make it.
fn settle(
    forward: &mut Forward,
    (id, tensor): (TensorId, &TensorSpec),
    encoded: &Encoded,
    store: &mut RoundedStore,
) -> Result<(), CalibrationError> {
    forward.weights_mut().settle(id, encoded.view())?;
    if tensor.transforms.is_empty() {
        Ok(())
    } else {
        store.put(&tensor.name, encoded).map_err(CalibrationError::Store)
    }
}

/// The factor of a second moment for rounding to `format`: what matters most is rounded first and made up for by the
/// rest; blocks keep their scale.
pub fn factor(moment: &SecondMoment, format: Format) -> Factor {
    Factor::new(moment, Order::Descending { block: format.column_multiple() as usize }, Damping::default())
}

/// `values` as `rounding` says, rounded as the transform `how` says under a second moment with its factor.
pub fn rounded(
    values: &[f32],
    rounding: Rounding<'_>,
    how: Option<&Transform>,
    (moment, factor): (&SecondMoment, &Factor),
) -> Result<Encoded, EncodeError> {
    let cols = moment.cols();
    let (rows, source) = (values.len() / cols, Rows { cols, values });
    match how {
        Some(Transform::Compensate) => Ok(gptq(&source, rows, factor, rounding)?.encoded),
        Some(Transform::Refine) => nearest(&source, rows, &moment.diagonal(), rounding),
        _ => encode(rounding.format, rows, cols, &source, rounding.outlier_columns),
    }
}

/// A tensor encoded as it is.
fn plain(values: &[f32], tensor: &TensorSpec) -> Result<Encoded, CalibrationError> {
    let cols = tensor.cols as usize;
    encode(tensor.format, tensor.rows as usize, cols, &Rows { cols, values }, tensor.kept_columns())
        .map_err(|source| CalibrationError::Encode { tensor: tensor.name.clone(), source })
}
