//! Weights as plain values: decoded, and rounded to 16 bits where that is wanted.

use rayon::prelude::*;
use samp_kernels::format::EncodeError;
use samp_runtime::OpenPlan;

use super::{
    encoding::{Encoding, OutputBytes, StoredPart},
    float_type::FloatType,
    rows::{WeightRows, vector},
    weight::CheckpointWeight,
};
use crate::emit::EmitError;

/// Values that are decoded at once.
const PIECE: usize = 1 << 22;

/// Plain values of one type.
pub(super) struct Dense(pub(super) FloatType);

impl Encoding for Dense {
    fn name(&self) -> String {
        self.0.name().into()
    }

    fn float_type(&self) -> Option<FloatType> {
        Some(self.0)
    }

    fn parts(&self, weight: &CheckpointWeight) -> Vec<StoredPart> {
        vec![StoredPart { name: weight.name.clone(), dtype: self.0.stored(), shape: weight.shape.clone() }]
    }

    fn write(
        &self,
        plan: &OpenPlan,
        weight: &CheckpointWeight,
        out: &mut OutputBytes,
    ) -> Result<f32, EmitError> {
        match weight.matrix() {
            Some(_) => write_rows(self.0, &weight.name, &WeightRows::stored(plan, weight), out),
            None => write_values(self.0, &weight.name, &vector(plan, weight), out),
        }
    }
}

/// Writes a vector.
pub(super) fn write_values(
    to: FloatType,
    name: &str,
    values: &[f32],
    out: &mut OutputBytes,
) -> Result<f32, EmitError> {
    let mut bytes = vec![0; values.len() * to.bytes()];
    let error = to.round(values, &mut bytes).map_err(|at| overflow(to, name, (0, at, values[at])))?;
    out.put(&bytes)?;
    Ok(error)
}

/// Decodes and writes a matrix, some rows at a time.
pub(super) fn write_rows(
    to: FloatType,
    name: &str,
    rows: &WeightRows<'_>,
    out: &mut OutputBytes,
) -> Result<f32, EmitError> {
    let cols = rows.cols;
    let at_once = (PIECE / cols).clamp(1, rows.rows);
    let mut values = vec![0.0f32; at_once * cols];
    let mut bytes = vec![0; values.len() * to.bytes()];
    let mut largest = 0.0f32;
    for first in (0..rows.rows).step_by(at_once) {
        let count = at_once.min(rows.rows - first);
        let row = |(row, (values, bytes)): (usize, (&mut [f32], &mut [u8]))| {
            rows.decode(first + row, values);
            to.round(values, bytes).map_err(|col| (first + row, col, values[col]))
        };
        let values = values[..count * cols].par_chunks_mut(cols);
        let bytes_of = cols * to.bytes();
        let outputs = values.zip(bytes[..count * bytes_of].par_chunks_mut(bytes_of)).enumerate();
        let errors: Result<Vec<f32>, _> = outputs.map(row).collect();
        let errors = errors.map_err(|place| overflow(to, name, place))?;
        largest = errors.into_iter().fold(largest, f32::max);
        out.put(&bytes[..count * bytes_of])?;
    }
    Ok(largest)
}

fn overflow(to: FloatType, name: &str, (row, col, value): (usize, usize, f32)) -> EmitError {
    let source = EncodeError::Overflow { format: to.format(), row, col, value };
    EmitError::Encode { tensor: name.into(), source }
}
