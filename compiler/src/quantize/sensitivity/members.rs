//! What each format costs the members of a fused linear, each by itself: of the rounded linear only its rows are exchanged.

use std::ops::Range;

use samp_kernels::{
    encoded::Encoded,
    quantize::{Hessian, MatrixRef, output_energy},
};

use crate::{
    certificate::{Divergence, MemberProfile, Sensitivity},
    quantize::{
        baseline::decoded,
        error::QuantizeError,
        forward::{LinearStep, Member},
    },
};

/// The members of a fused linear that is measured; none of a linear that is not fused.
pub(super) struct Members<'a> {
    values: &'a [f32],
    hessian: &'a Hessian,
    members: Vec<MemberRange>,
    /// What was measured so far.
    pub(super) profiles: Vec<MemberProfile>,
    /// How much of a loss is each one's for each unit of its output error; known after the first format, and taken from it for
    /// the others by a fast measurement.
    weights: Vec<f64>,
}

/// Where one member's values are among the linear's, and the energy of its outputs.
struct MemberRange {
    values: Range<usize>,
    energy: f64,
}

impl<'a> Members<'a> {
    /// The members of `linear`, whose weight has these values and whose inputs have this Hessian.
    pub(super) fn new(linear: &'a LinearStep, values: &'a [f32], hessian: &'a Hessian) -> Members<'a> {
        let (cols, mut start) = (hessian.cols(), 0);
        let mut members = vec![];
        for member in &linear.members {
            let range = start..start + member.rows * cols;
            start = range.end;
            let source = MatrixRef { cols, values: &values[range.clone()] };
            let energy = output_energy(&source, member.rows, hessian).max(f64::MIN_POSITIVE);
            members.push(MemberRange { values: range, energy });
        }
        let profile = |m: &Member| MemberProfile { key: m.key.clone(), rows: m.rows as u64, formats: vec![] };
        let profiles = linear.members.iter().map(profile).collect();
        Members { values, hessian, members, profiles, weights: vec![] }
    }

    /// Measures every member in the format of `rounded`, which is the fused linear; `fused` is what that costs. `divergence`
    /// says what the model loses with other values for the linear; it is asked for the first format, and for the others where
    /// the measurement is `exact`.
    pub(super) fn measure(
        &mut self,
        rounded: &Encoded,
        fused: &Sensitivity,
        exact: bool,
        divergence: &mut dyn FnMut(&[f32]) -> Result<Divergence, QuantizeError>,
    ) -> Result<(), QuantizeError> {
        if self.members.is_empty() {
            return Ok(());
        }
        let rounded = decoded(rounded.view());
        let error = |member: &MemberRange| self.error(&member.values, &rounded) / member.energy;
        let errors: Vec<f64> = self.members.iter().map(error).collect();
        if self.weights.is_empty() || exact {
            self.weights = weights(&self.divergences(&rounded, divergence)?, &errors);
        }
        let shares: Vec<f64> =
            self.weights.iter().zip(&errors).map(|(weight, error)| weight * error).collect();
        let all: f64 = shares.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let divergences = shares.iter().map(|share| fused.divergence.scaled(share / all));
        for ((profile, divergence), output_error) in self.profiles.iter_mut().zip(divergences).zip(errors) {
            profile.formats.push(Sensitivity { format: fused.format, output_error, divergence });
        }
        Ok(())
    }

    /// Squared error of one member's outputs.
    fn error(&self, range: &Range<usize>, rounded: &[f32]) -> f64 {
        let cols = self.hessian.cols();
        let pairs = self.values[range.clone()].iter().zip(&rounded[range.clone()]);
        let difference: Vec<f32> = pairs.map(|(w, q)| w - q).collect();
        output_energy(&MatrixRef { cols, values: &difference }, difference.len() / cols, self.hessian)
    }

    /// What the model loses with each member alone rounded.
    fn divergences(
        &self,
        rounded: &[f32],
        divergence: &mut dyn FnMut(&[f32]) -> Result<Divergence, QuantizeError>,
    ) -> Result<Vec<Divergence>, QuantizeError> {
        let measured = |member: &MemberRange| {
            let mut values = self.values.to_vec();
            values[member.values.clone()].copy_from_slice(&rounded[member.values.clone()]);
            divergence(&values)
        };
        self.members.iter().map(measured).collect()
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
