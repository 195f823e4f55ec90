//! The final weights: linear after linear in program order, each first corrected for what the rounded weights before it
//! changed, then rounded under the second moment of the inputs that they give. A linear that a plan holds as several stays one
//! here: its members are corrected together, and each is rounded to its own format.

mod effects;
mod plan_tensors;
mod store;

use samp_abi::{Format, plan::TensorId};
use samp_kernels::{
    encoded::Encoded,
    format::{EncodeError, encode},
    quantize::{
        CholeskyFactor, ColumnOrder, CrossHessian, Damped, Damping, Hessian, MatrixRef, RoundingSpec, gptq,
        nearest,
    },
};
use samp_passes::transform::Transform;

pub use effects::{Change, EFFECT_TOKENS, ErrorFactor, PassEffect, Shape};
use effects::{energy, outputs, squared_error, without_outliers};
use plan_tensors::{PlanTensorSlice, slices};
pub use store::RoundedStore;

use super::{CalibrationError, Forward, LinearInputs, LinearStep, State, TokenBatch, baseline::decoded};
use crate::lower::PlanSpec;

/// The unquantized program, and the same program whose weights are rounded one after another.
pub struct ProgramPair {
    /// With the original weights.
    pub original: Forward,
    /// With what rounding made of them so far.
    pub rounded: Forward,
}

/// Rounds every tensor of the plan `spec`, leaves the decoded values in the rounded program, and puts every tensor of the plan
/// that has transforms into `store`. `master` holds the programs' tensors, each of which the plan holds as one or as several. `say`
/// hears where a second moment took more damping than usual. Gives what the passes that work on rounding did, in their
/// order.
///
/// Holds the activations of all batches between two steps, of both programs, and the moments of one linear.
pub fn round(
    programs: &mut ProgramPair,
    (master, spec): (&PlanSpec, &PlanSpec),
    batches: &[TokenBatch],
    store: &mut RoundedStore,
    say: &dyn Fn(&str),
) -> Result<Vec<PassEffect>, CalibrationError> {
    programs.rounded.set_weights(programs.original.weights().clone());
    let linears = programs.rounded.linears();
    for (index, tensor) in master.tensors.iter().enumerate() {
        let id = TensorId(index as u32);
        if linears.iter().all(|linear| linear.weight != id || linear.tied) {
            let values = programs.rounded.weights().matrix(id);
            let slices = slices(tensor, spec);
            let encoded = slices.iter().map(|piece| piece.plain(&values)).collect::<Result<Vec<_>, _>>()?;
            settle(&mut programs.rounded, (id, &slices), &encoded, store)?;
        }
    }
    let states = || vec![State::default(); batches.len()];
    let done = PassStats::default();
    let mut walk = RoundingPass { programs, batches, rounded: states(), original: states(), say, done };
    for linear in linears.iter().filter(|linear| !linear.tied) {
        let slices = slices(&master.tensors[linear.weight.0 as usize], spec);
        let encoded = walk.encoded(linear, &slices)?;
        settle(&mut walk.programs.rounded, (linear.weight, &slices), &encoded, store)?;
    }
    Ok(walk.done.effects())
}

/// What was done to linears so far.
#[derive(Default)]
struct PassStats {
    corrected: Vec<Change>,
    kept: Vec<Change>,
    rounded: Vec<Change>,
}

impl PassStats {
    fn effects(&self) -> Vec<PassEffect> {
        let all = [
            ("correct_weights", &self.corrected),
            ("keep_outliers", &self.kept),
            ("round_weights", &self.rounded),
        ];
        let effect = |(pass, changes): (&str, &Vec<Change>)| {
            let error = Some(ErrorFactor::of(changes)?);
            Some(PassEffect { pass: pass.into(), error, logit_change: None })
        };
        all.into_iter().filter_map(effect).collect()
    }

    /// Takes what became of a piece's `values` on the inputs `x` that the linear of this width was given.
    fn take(
        &mut self,
        piece: &PlanTensorSlice<'_>,
        values: &[f32],
        encoded: &Encoded,
        (cols, x): (usize, &[f32]),
    ) -> Result<(), CalibrationError> {
        let (own, linear) = (&values[piece.values.clone()], || piece.tensor.name.clone());
        let format = piece.tensor.format;
        if format.code_bits() >= 16 {
            return Ok(());
        }
        let whole = energy(&outputs(own, cols, x)).max(f64::MIN_POSITIVE);
        let error = |encoded: &Encoded| squared_error(own, &decoded(encoded.view()), (cols, x)) / whole;
        let plain = error(&piece.plain(values)?);
        if !piece.tensor.kept_columns().is_empty() {
            let before = error(&piece.nearest(values, without_outliers(format), &[])?);
            self.kept.push(Change { linear: linear(), before, after: plain });
        }
        if piece.how().is_some() {
            self.rounded.push(Change { linear: linear(), before: plain, after: error(encoded) });
        }
        Ok(())
    }
}

/// Both programs on their way from linear to linear, with where every batch stands.
struct RoundingPass<'a> {
    programs: &'a mut ProgramPair,
    batches: &'a [TokenBatch],
    rounded: Vec<State>,
    original: Vec<State>,
    say: &'a dyn Fn(&str),
    done: PassStats,
}

impl RoundingPass<'_> {
    /// The slices of a linear's weight as their transforms say.
    fn encoded(
        &mut self,
        linear: &LinearStep,
        slices: &[PlanTensorSlice<'_>],
    ) -> Result<Vec<Encoded>, CalibrationError> {
        let values = self.programs.rounded.weights().matrix(linear.weight);
        let corrects = slices.iter().any(PlanTensorSlice::corrects);
        if !corrects && slices.iter().all(|piece| piece.how().is_none()) {
            let encoded = slices.iter().map(|piece| piece.plain(&values)).collect::<Result<Vec<_>, _>>()?;
            let kept = slices.iter().any(|piece| !piece.tensor.kept_columns().is_empty());
            if let (Some(batch), Some(state), true) = (self.batches.first(), self.rounded.first_mut(), kept) {
                *state = self.programs.rounded.advance(batch, state, linear.step, None);
                self.note_rounding(linear, (slices, &encoded), &values)?;
            }
            return Ok(encoded);
        }
        let forward = &mut self.programs.rounded;
        let LinearInputs { moment, .. } =
            LinearInputs::collect(forward, self.batches, &mut self.rounded, linear)?;
        let first = slices[0].tensor.format;
        let shared = factor(&moment, first);
        if let Some(note) = note(shared.damped()) {
            (self.say)(&format!("{}: {note}", linear.key));
        }
        let values = if corrects { self.corrected(linear, &values, &shared) } else { values };
        let encoded = |piece: &PlanTensorSlice<'_>| {
            let (own, format) = (&values[piece.values.clone()], piece.tensor.format);
            // Formats with blocks of the same width take columns in the same order.
            let same = format.column_multiple() == first.column_multiple();
            let other = (!same).then(|| factor(&moment, format));
            rounded(own, piece.rounding(), piece.how(), (&moment, other.as_ref().unwrap_or(&shared)))
                .map_err(|source| piece.refused(source))
        };
        let encoded: Vec<Encoded> = slices.iter().map(encoded).collect::<Result<_, _>>()?;
        self.note_rounding(linear, (slices, &encoded), &values)?;
        Ok(encoded)
    }

    /// What rounding made of a linear's `values`, on inputs that the first batch was brought to.
    fn note_rounding(
        &mut self,
        linear: &LinearStep,
        (slices, encoded): (&[PlanTensorSlice<'_>], &[Encoded]),
        values: &[f32],
    ) -> Result<(), CalibrationError> {
        let cols = self.programs.rounded.weights().cols(linear.weight);
        let x = self.rounded.first().map_or(&[][..], |state| beginning(state.get(linear.x), cols));
        let mut each = slices.iter().zip(encoded);
        each.try_for_each(|(piece, encoded)| self.done.take(piece, values, encoded, (cols, x)))
    }

    /// The weights moved to where they make up for what the rounded weights before them changed: in the residual stream
    /// where the linear adds to it, else in the linear's inputs.
    fn corrected(&mut self, linear: &LinearStep, values: &[f32], factor: &CholeskyFactor) -> Vec<f32> {
        let cols = self.programs.rounded.weights().cols(linear.weight);
        let rows = if linear.sum.is_some() { values.len() / cols } else { cols };
        let bias = linear.bias.map(|bias| self.programs.rounded.weights().matrix(bias)).unwrap_or_default();
        let mut cross = CrossHessian::new(rows, cols);
        for ((batch, rounded), original) in self.batches.iter().zip(&self.rounded).zip(&mut self.original) {
            let until = linear.sum.map_or(linear.step, |sum| sum.step + 1);
            *original = self.programs.original.advance(batch, original, until, None);
            cross.add(&wanted(linear, (original, rounded), &bias), rounded.get(linear.x));
        }
        let corrected = match linear.sum {
            Some(_) => cross.regress(values, factor),
            None => cross.correct_inputs(values, factor),
        };
        self.note_correction(linear, [values, &corrected], &bias);
        corrected
    }

    /// How far the outputs of a linear are from those wanted with the weights before and after their correction.
    fn note_correction(&mut self, linear: &LinearStep, weights: [&[f32]; 2], bias: &[f32]) {
        let cols = self.programs.rounded.weights().cols(linear.weight);
        let (Some(original), Some(rounded)) = (self.original.first(), self.rounded.first()) else { return };
        let x = beginning(rounded.get(linear.x), cols);
        let wanted = match linear.sum {
            Some(_) => wanted(linear, (original, rounded), bias),
            None => outputs(weights[0], cols, beginning(original.get(linear.x), cols)),
        };
        let count = x.len() / cols * (weights[0].len() / cols);
        let wanted = &wanted[..count];
        let whole = energy(wanted);
        let [before, after] = weights.map(|weights| energy(&difference(wanted, &outputs(weights, cols, x))));
        if whole > 0.0 {
            let (before, after) = (before / whole, after / whole);
            self.done.corrected.push(Change { linear: linear.key.clone(), before, after });
        }
    }
}

/// The first of some tokens.
fn beginning(x: &[f32], cols: usize) -> &[f32] {
    &x[..x.len().min(EFFECT_TOKENS * cols)]
}

/// What the rounded program is short of: in the outputs of a linear that adds to the residual stream, but for its bias, which
/// is added whatever the weight; else in the linear's inputs.
fn wanted(linear: &LinearStep, (original, rounded): (&State, &State), bias: &[f32]) -> Vec<f32> {
    let Some(sum) = linear.sum else { return difference(original.get(linear.x), rounded.get(linear.x)) };
    let mut wanted = difference(original.get(sum.after), rounded.get(sum.before));
    if !bias.is_empty() {
        let rows = wanted.chunks_exact_mut(bias.len());
        rows.for_each(|row| row.iter_mut().zip(bias).for_each(|(w, b)| *w -= b));
    }
    wanted
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

/// Makes the encoded slices what is run with, and keeps those that emission could not make.
fn settle(
    forward: &mut Forward,
    (id, slices): (TensorId, &[PlanTensorSlice<'_>]),
    encoded: &[Encoded],
    store: &mut RoundedStore,
) -> Result<(), CalibrationError> {
    let values: Vec<f32> = encoded.iter().flat_map(|piece| decoded(piece.view())).collect();
    forward.weights_mut().settle(id, &values)?;
    for (piece, encoded) in
        slices.iter().zip(encoded).filter(|(piece, _)| !piece.tensor.transforms.is_empty())
    {
        store.put(&piece.tensor.name, encoded).map_err(CalibrationError::Store)?;
    }
    Ok(())
}

/// The factor of a second moment for rounding to `format`: what matters most is rounded first and made up for by the
/// rest; blocks keep their scale.
pub fn factor(moment: &Hessian, format: Format) -> CholeskyFactor {
    CholeskyFactor::new(
        moment,
        ColumnOrder::Descending { block: format.column_multiple() as usize },
        Damping::default(),
    )
}

/// `values` as `rounding` says, rounded as the transform `how` says under a second moment with its factor.
pub fn rounded(
    values: &[f32],
    rounding: RoundingSpec<'_>,
    how: Option<&Transform>,
    (moment, factor): (&Hessian, &CholeskyFactor),
) -> Result<Encoded, EncodeError> {
    let cols = moment.cols();
    let (rows, source) = (values.len() / cols, MatrixRef { cols, values });
    match how {
        Some(Transform::Compensate) => Ok(gptq(&source, rows, factor, rounding)?.encoded),
        Some(Transform::Refine) => nearest(&source, rows, &moment.diagonal(), rounding),
        _ => encode(rounding.format, rows, cols, &source, rounding.outlier_columns),
    }
}
