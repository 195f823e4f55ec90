//! The final weights: linear after linear in program order, each first corrected for what the rounded weights before it
//! changed, then rounded under the second moment of the inputs that they give. A linear that a plan holds as several stays one
//! here: its members are corrected together, and each is rounded to its own format.

use std::ops::Range;

use samp_abi::{Format, plan::TensorId};
use samp_kernels::{
    encoded::Encoded,
    format::{EncodeError, encode},
    quantize::{CrossMoment, Damped, Damping, Factor, Order, Rounding, Rows, SecondMoment, gptq, nearest},
};
use samp_passes::transform::Transform;

use super::{
    CalibrationError, Forward, LinearInputs, LinearStep, RoundedStore, State, TokenBatch, master::decoded,
};
use crate::emit::{PlanSpec, TensorSpec};

/// The unquantized program, and the same program whose weights are rounded one after another.
pub struct Programs {
    /// With the original weights.
    pub original: Forward,
    /// With what rounding made of them so far.
    pub rounded: Forward,
}

/// Rounds every tensor of the plan `spec`, leaves the decoded values in the rounded program, and puts every tensor of the plan
/// that has transforms into `store`. `master` holds the programs' tensors, each of which the plan holds as one or as several. `say`
/// hears where a second moment took more damping than usual.
///
/// Holds the activations of all batches between two steps, of both programs, and the moments of one linear.
pub fn round(
    programs: &mut Programs,
    (master, spec): (&PlanSpec, &PlanSpec),
    batches: &[TokenBatch],
    store: &mut RoundedStore,
    say: &dyn Fn(&str),
) -> Result<(), CalibrationError> {
    programs.rounded.set_weights(programs.original.weights().clone());
    let linears = programs.rounded.linears();
    for (index, tensor) in master.tensors.iter().enumerate() {
        let id = TensorId(index as u32);
        if linears.iter().all(|linear| linear.weight != id || linear.tied) {
            let values = programs.rounded.weights().matrix(id);
            let pieces = pieces(tensor, spec);
            let encoded = pieces.iter().map(|piece| piece.plain(&values)).collect::<Result<Vec<_>, _>>()?;
            settle(&mut programs.rounded, (id, &pieces), &encoded, store)?;
        }
    }
    let states = || vec![State::default(); batches.len()];
    let mut walk = Walk { programs, batches, rounded: states(), original: states(), say };
    for linear in linears.iter().filter(|linear| !linear.tied) {
        let pieces = pieces(&master.tensors[linear.weight.0 as usize], spec);
        let encoded = walk.encoded(linear, &pieces)?;
        settle(&mut walk.programs.rounded, (linear.weight, &pieces), &encoded, store)?;
    }
    Ok(())
}

/// A tensor of the plan, and where its values lie among those of the tensor that it is a part of.
struct Piece<'a> {
    tensor: &'a TensorSpec,
    values: Range<usize>,
}

/// The tensors that a plan holds in place of `whole`: together they have its sources.
fn pieces<'a>(whole: &TensorSpec, plan: &'a PlanSpec) -> Vec<Piece<'a>> {
    let (mut pieces, mut rest, mut start) = (vec![], whole.sources.as_slice(), 0);
    while !rest.is_empty() {
        let begins = |t: &&TensorSpec| !t.sources.is_empty() && rest.starts_with(&t.sources);
        let tensor = plan.tensors.iter().find(begins).expect("a plan holds every tensor of the model");
        let end = start + tensor.elements() as usize;
        pieces.push(Piece { tensor, values: start..end });
        (rest, start) = (&rest[tensor.sources.len()..], end);
    }
    pieces
}

impl Piece<'_> {
    /// How it is rounded, if not to the nearest value.
    fn how(&self) -> Option<&Transform> {
        let how = |t: &&Transform| matches!(t, Transform::Compensate | Transform::Refine);
        self.tensor.transforms.iter().rev().find(how)
    }

    /// What it is rounded to.
    fn rounding(&self) -> Rounding<'_> {
        Rounding { outlier_columns: self.tensor.kept_columns(), ..Rounding::to(self.tensor.format) }
    }

    fn corrects(&self) -> bool {
        self.tensor.transforms.contains(&Transform::Correct)
    }

    /// Its part of `values`, encoded as it is.
    fn plain(&self, values: &[f32]) -> Result<Encoded, CalibrationError> {
        let TensorSpec { format, rows, cols, .. } = *self.tensor;
        let source = Rows { cols: cols as usize, values: &values[self.values.clone()] };
        let kept = self.tensor.kept_columns();
        encode(format, rows as usize, cols as usize, &source, kept).map_err(|source| self.refused(source))
    }

    fn refused(&self, source: EncodeError) -> CalibrationError {
        CalibrationError::Encode { tensor: self.tensor.name.clone(), source }
    }
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
    /// The pieces of a linear's weight as their transforms say.
    fn encoded(
        &mut self,
        linear: &LinearStep,
        pieces: &[Piece<'_>],
    ) -> Result<Vec<Encoded>, CalibrationError> {
        let values = self.programs.rounded.weights().matrix(linear.weight);
        let corrects = pieces.iter().any(Piece::corrects);
        if !corrects && pieces.iter().all(|piece| piece.how().is_none()) {
            return pieces.iter().map(|piece| piece.plain(&values)).collect();
        }
        let forward = &mut self.programs.rounded;
        let LinearInputs { moment, .. } =
            LinearInputs::collect(forward, self.batches, &mut self.rounded, linear)?;
        let first = pieces[0].tensor.format;
        let shared = factor(&moment, first);
        if let Some(note) = note(shared.damped()) {
            (self.say)(&format!("{}: {note}", linear.key));
        }
        let values = if corrects { self.corrected(linear, &values, &shared) } else { values };
        let encoded = |piece: &Piece<'_>| {
            let (own, format) = (&values[piece.values.clone()], piece.tensor.format);
            // Formats with blocks of the same width take columns in the same order.
            let same = format.column_multiple() == first.column_multiple();
            let other = (!same).then(|| factor(&moment, format));
            rounded(own, piece.rounding(), piece.how(), (&moment, other.as_ref().unwrap_or(&shared)))
                .map_err(|source| piece.refused(source))
        };
        pieces.iter().map(encoded).collect()
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

/// Makes the encoded pieces what is run with, and keeps those that emission could not make.
fn settle(
    forward: &mut Forward,
    (id, pieces): (TensorId, &[Piece<'_>]),
    encoded: &[Encoded],
    store: &mut RoundedStore,
) -> Result<(), CalibrationError> {
    let values: Vec<f32> = encoded.iter().flat_map(|piece| decoded(piece.view())).collect();
    forward.weights_mut().settle(id, &values)?;
    for (piece, encoded) in
        pieces.iter().zip(encoded).filter(|(piece, _)| !piece.tensor.transforms.is_empty())
    {
        store.put(&piece.tensor.name, encoded).map_err(CalibrationError::Store)?;
    }
    Ok(())
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
