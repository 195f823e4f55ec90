//! Both programs on their way from linear to linear: each weight is corrected, then rounded under the inputs that the
//! rounded weights before it give.

use samp_kernels::{
    encoded::Encoded,
    quantize::{CholeskyFactor, CrossHessian, Damped},
};
use samp_runtime::Progress;

use super::{
    effects::{EFFECT_TOKENS, LinearChange, energy, outputs},
    plan_tensors::PlanTensorSlice,
    program_pair::ProgramPair,
    statistics::PassStats,
};
use crate::quantize::{
    error::QuantizeError,
    forward::{LinearStep, State},
    linear_inputs::LinearInputs,
    matrix_rounding::{FactoredHessian, cholesky, round_matrix},
    token_batch::TokenBatch,
};

/// The rounding of one plan, linear by linear, with where every batch stands.
pub(super) struct RoundingPass<'a> {
    pub programs: &'a mut ProgramPair,
    batches: &'a [TokenBatch],
    rounded: Vec<State>,
    original: Vec<State>,
    progress: &'a dyn Progress,
    pub stats: PassStats,
}

impl<'a> RoundingPass<'a> {
    /// A pass that stands at the beginning of every batch.
    pub(super) fn new(
        programs: &'a mut ProgramPair,
        batches: &'a [TokenBatch],
        progress: &'a dyn Progress,
    ) -> RoundingPass<'a> {
        let states = || vec![State::default(); batches.len()];
        let stats = PassStats::default();
        RoundingPass { programs, batches, rounded: states(), original: states(), progress, stats }
    }

    /// The slices of a linear's weight, rounded as their transforms say.
    pub(super) fn round(
        &mut self,
        linear: &LinearStep,
        slices: &[PlanTensorSlice<'_>],
    ) -> Result<Vec<Encoded>, QuantizeError> {
        let values = self.programs.rounded.weights().matrix(linear.weight);
        let corrects = slices.iter().any(PlanTensorSlice::corrects);
        if !corrects && slices.iter().all(|slice| slice.how().is_none()) {
            let encoded = slices.iter().map(|slice| slice.plain(&values)).collect::<Result<Vec<_>, _>>()?;
            let kept = slices.iter().any(|slice| !slice.tensor.kept_columns().is_empty());
            if let (Some(batch), Some(state), true) = (self.batches.first(), self.rounded.first_mut(), kept) {
                *state = self.programs.rounded.advance(batch, state, linear.step, None);
                self.note_rounding(linear, slices, &encoded, &values)?;
            }
            return Ok(encoded);
        }
        let forward = &mut self.programs.rounded;
        let LinearInputs { hessian, .. } =
            LinearInputs::collect(forward, self.batches, &mut self.rounded, linear)?;
        let first = slices[0].tensor.format;
        let shared = cholesky(&hessian, first);
        if let Some(note) = damping_note(shared.damped()) {
            self.progress.note(&format!("{}: {note}", linear.key));
        }
        let values = if corrects { self.corrected(linear, &values, &shared) } else { values };
        let encoded = |slice: &PlanTensorSlice<'_>| {
            let (own, format) = (&values[slice.values.clone()], slice.tensor.format);
            // Formats with blocks of the same width take columns in the same order.
            let same = format.column_multiple() == first.column_multiple();
            let other = (!same).then(|| cholesky(&hessian, format));
            let inputs = FactoredHessian { hessian: &hessian, factor: other.as_ref().unwrap_or(&shared) };
            round_matrix(own, slice.rounding(), slice.how(), &inputs).map_err(|source| slice.refused(source))
        };
        let encoded: Vec<Encoded> = slices.iter().map(encoded).collect::<Result<_, _>>()?;
        self.note_rounding(linear, slices, &encoded, &values)?;
        Ok(encoded)
    }

    /// What rounding made of a linear's `values`, on inputs that the first batch was brought to.
    fn note_rounding(
        &mut self,
        linear: &LinearStep,
        slices: &[PlanTensorSlice<'_>],
        encoded: &[Encoded],
        values: &[f32],
    ) -> Result<(), QuantizeError> {
        let cols = self.programs.rounded.weights().cols(linear.weight);
        let x = self.rounded.first().map_or(&[][..], |state| beginning(state.get(linear.x), cols));
        let mut each = slices.iter().zip(encoded);
        each.try_for_each(|(slice, encoded)| self.stats.note_rounding(slice, values, encoded, cols, x))
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
            cross.add(&target_delta(linear, original, rounded, &bias), rounded.get(linear.x));
        }
        let corrected = match linear.sum {
            Some(_) => cross.regress(values, factor),
            None => cross.correct_inputs(values, factor),
        };
        self.note_correction(linear, [values, &corrected], &bias);
        corrected
    }

    /// How far the outputs of a linear are from their target with the weights before and after their correction.
    fn note_correction(&mut self, linear: &LinearStep, weights: [&[f32]; 2], bias: &[f32]) {
        let cols = self.programs.rounded.weights().cols(linear.weight);
        let (Some(original), Some(rounded)) = (self.original.first(), self.rounded.first()) else { return };
        let x = beginning(rounded.get(linear.x), cols);
        let target = match linear.sum {
            Some(_) => target_delta(linear, original, rounded, bias),
            None => outputs(weights[0], cols, beginning(original.get(linear.x), cols)),
        };
        let count = x.len() / cols * (weights[0].len() / cols);
        let target = &target[..count];
        let all = energy(target);
        let [before, after] = weights.map(|weights| energy(&difference(target, &outputs(weights, cols, x))));
        if all > 0.0 {
            let (before, after) = (before / all, after / all);
            self.stats.note_correction(LinearChange { linear: linear.key.clone(), before, after });
        }
    }
}

/// The first of some tokens.
fn beginning(x: &[f32], cols: usize) -> &[f32] {
    &x[..x.len().min(EFFECT_TOKENS * cols)]
}

/// What the rounded program is short of: in the outputs of a linear that adds to the residual stream, but for its bias, which
/// is added whatever the weight; else in the linear's inputs.
fn target_delta(linear: &LinearStep, original: &State, rounded: &State, bias: &[f32]) -> Vec<f32> {
    let Some(sum) = linear.sum else { return difference(original.get(linear.x), rounded.get(linear.x)) };
    let mut delta = difference(original.get(sum.after), rounded.get(sum.before));
    if !bias.is_empty() {
        let rows = delta.chunks_exact_mut(bias.len());
        rows.for_each(|row| row.iter_mut().zip(bias).for_each(|(w, b)| *w -= b));
    }
    delta
}

/// What is said of a Hessian that was not factored as asked.
fn damping_note(damped: Damped) -> Option<String> {
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

fn difference(target: &[f32], found: &[f32]) -> Vec<f32> {
    target.iter().zip(found).map(|(target, found)| target - found).collect()
}
