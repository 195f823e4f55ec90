//! What each format costs the members of a fused linear, each by itself: of the rounded whole only its rows are exchanged.

use std::ops::Range;

use samp_kernels::{
    encoded::Encoded,
    quantize::{Hessian, MatrixRef, output_energy},
};

use super::WeightProbe;
use crate::quantize::{
    CalibrationError, Divergence, LinearStep, MemberProfile, Sensitivity, SensitivityMode, baseline::decoded,
};

/// Members are judged on one in so many of the batches: only how they share a loss is asked for.
const JUDGED_SHARE: usize = 3;

/// The members of one linear on trial; none of one that is whole.
pub(super) struct Members<'a> {
    linear: &'a LinearStep,
    values: &'a [f32],
    moment: &'a Hessian,
    /// Each one's values among the linear's, and the energy of its outputs.
    parts: Vec<(Range<usize>, f64)>,
    /// What was measured so far.
    pub(super) profiles: Vec<MemberProfile>,
    /// How much of a loss is each one's for each unit of its output error; known after the first format, and taken from it for
    /// the others by a fast measurement.
    weights: Vec<f64>,
}

impl<'a> Members<'a> {
    pub(super) fn of(linear: &'a LinearStep, values: &'a [f32], moment: &'a Hessian) -> Members<'a> {
        let (cols, mut start) = (moment.cols(), 0);
        let mut parts = vec![];
        for member in &linear.members {
            let range = start..start + member.rows * cols;
            start = range.end;
            let source = MatrixRef { cols, values: &values[range.clone()] };
            parts.push((range, output_energy(&source, member.rows, moment).max(f64::MIN_POSITIVE)));
        }
        let profile = |m: &crate::quantize::Member| MemberProfile {
            key: m.key.clone(),
            rows: m.rows as u64,
            formats: vec![],
        };
        let profiles = linear.members.iter().map(profile).collect();
        Members { linear, values, moment, parts, profiles, weights: vec![] }
    }

    /// Measures every member in the format of `rounded`, which is the whole linear; `whole` is what that costs.
    pub(super) fn measure(
        &mut self,
        trial: &mut WeightProbe<'_>,
        rounded: &Encoded,
        whole: &Sensitivity,
    ) -> Result<(), CalibrationError> {
        if self.parts.is_empty() {
            return Ok(());
        }
        let rounded = decoded(rounded.view());
        let errors: Vec<f64> =
            self.parts.iter().map(|(range, energy)| self.error(range, &rounded) / energy).collect();
        if self.weights.is_empty() || trial.options.mode == SensitivityMode::Exact {
            self.weights = weights(&self.divergences(trial, &rounded)?, &errors);
        }
        let shares: Vec<f64> =
            self.weights.iter().zip(&errors).map(|(weight, error)| weight * error).collect();
        let all: f64 = shares.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let divergences = shares.iter().map(|share| whole.divergence.scaled(share / all));
        for ((profile, divergence), output_error) in self.profiles.iter_mut().zip(divergences).zip(errors) {
            profile.formats.push(Sensitivity { format: whole.format, output_error, divergence });
        }
        Ok(())
    }

    /// Squared error of one member's outputs.
    fn error(&self, range: &Range<usize>, rounded: &[f32]) -> f64 {
        let cols = self.moment.cols();
        let pairs = self.values[range.clone()].iter().zip(&rounded[range.clone()]);
        let difference: Vec<f32> = pairs.map(|(w, q)| w - q).collect();
        output_energy(&MatrixRef { cols, values: &difference }, difference.len() / cols, self.moment)
    }

    /// What the model loses with each member alone rounded.
    fn divergences(
        &self,
        trial: &mut WeightProbe<'_>,
        rounded: &[f32],
    ) -> Result<Vec<Divergence>, CalibrationError> {
        let judged = trial.tokens.judged.div_ceil(JUDGED_SHARE);
        let measured = |(range, _): &(Range<usize>, f64)| {
            let mut values = self.values.to_vec();
            values[range.clone()].copy_from_slice(&rounded[range.clone()]);
            trial.divergence(self.linear.weight, &values, judged)
        };
        self.parts.iter().map(measured).collect()
    }
}

/// What each member loses for each unit of its output error; the same of all where nothing is lost.
fn weights(found: &[Divergence], errors: &[f64]) -> Vec<f64> {
    let lost = found.iter().any(|divergence| divergence.nats > 0.0);
    let weight = |(divergence, error): (&Divergence, &f64)| {
        if lost && *error > 0.0 { divergence.nats.max(0.0) / error } else { 1.0 }
    };
    found.iter().zip(errors).map(weight).collect()
}
