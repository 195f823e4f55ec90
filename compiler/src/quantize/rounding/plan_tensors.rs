//! The tensors of a plan in place of those of the f32 program, which joins more.

use std::ops::Range;

use samp_abi::Format;
use samp_kernels::{
    encoded::Encoded,
    format::{EncodeError, encode},
    quantize::{MatrixRef, RoundingSpec},
};
use samp_passes::transform::Transform;

use crate::lower::{PlanSpec, TensorSpec};
use crate::quantize::error::QuantizeError;

/// A tensor of the plan, and where its values lie among those of the tensor that it is a part of.
pub(super) struct PlanTensorSlice<'a> {
    pub tensor: &'a TensorSpec,
    pub values: Range<usize>,
}

/// The tensors that a plan holds in place of `fused`: together they have its sources.
pub(super) fn slices<'a>(fused: &TensorSpec, plan: &'a PlanSpec) -> Vec<PlanTensorSlice<'a>> {
    let (mut slices, mut rest, mut start) = (vec![], fused.sources.as_slice(), 0);
    while !rest.is_empty() {
        let begins = |t: &&TensorSpec| !t.sources.is_empty() && rest.starts_with(&t.sources);
        let tensor = plan.tensors.iter().find(begins).expect("a plan holds every tensor of the model");
        let end = start + tensor.elements() as usize;
        slices.push(PlanTensorSlice { tensor, values: start..end });
        (rest, start) = (&rest[tensor.sources.len()..], end);
    }
    slices
}

impl PlanTensorSlice<'_> {
    /// How it is rounded, if not to the nearest value.
    pub(super) fn how(&self) -> Option<&Transform> {
        let how = |t: &&Transform| matches!(t, Transform::Compensate | Transform::Refine);
        self.tensor.transforms.iter().rev().find(how)
    }

    /// What it is rounded to.
    pub(super) fn rounding(&self) -> RoundingSpec<'_> {
        RoundingSpec { outlier_columns: self.tensor.kept_columns(), ..RoundingSpec::to(self.tensor.format) }
    }

    /// Whether it is corrected before it is rounded.
    pub(super) fn corrects(&self) -> bool {
        self.tensor.transforms.contains(&Transform::Correct)
    }

    /// Its part of `values`, each rounded to the nearest as the plan holds it.
    pub(super) fn plain(&self, values: &[f32]) -> Result<Encoded, QuantizeError> {
        self.nearest(values, self.tensor.format, self.tensor.kept_columns())
    }

    /// Its part of `values`, each rounded to the nearest of a format, some columns kept.
    pub(super) fn nearest(
        &self,
        values: &[f32],
        format: Format,
        kept: &[u32],
    ) -> Result<Encoded, QuantizeError> {
        let [rows, cols] = [self.tensor.rows, self.tensor.cols].map(|n| n as usize);
        let source = MatrixRef { cols, values: &values[self.values.clone()] };
        encode(format, rows, cols, &source, kept).map_err(|source| self.refused(source))
    }

    /// The error of an encoding that its format does not take.
    pub(super) fn refused(&self, source: EncodeError) -> QuantizeError {
        QuantizeError::Encode { tensor: self.tensor.name.clone(), source }
    }
}
