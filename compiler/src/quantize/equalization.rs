//! Equalization by the weights alone: the scales that give both sides of a channel the same root mean square.

use std::collections::BTreeMap;

use samp_ir::Diagnostic;
use samp_passes::transform::{Pair, Transform};

use super::{equalization_scales::EqualizationScales, values};
use crate::{
    import::Checkpoint,
    lower::{PlanSpec, TensorSpec},
};

impl EqualizationScales {
    /// Scales that give each channel's producer row and consumer columns the same root mean square.
    pub fn by_rms(spec: &PlanSpec, checkpoint: &Checkpoint) -> Result<EqualizationScales, Diagnostic> {
        let mut rows: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut columns: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for tensor in spec.tensors.iter().filter(|t| t.rows > 1) {
            let cols = tensor.cols as usize;
            for (index, transform) in tensor.transforms.iter().enumerate() {
                match transform {
                    Transform::ScaleRows(pair) => {
                        let values = before(tensor, index, checkpoint)?;
                        rows.insert(&pair.name, values.chunks_exact(cols).map(mean_square).collect());
                    }
                    Transform::ScaleColumns(pair) => {
                        let values = before(tensor, index, checkpoint)?;
                        columns.insert(&pair.name, channel_energies(&values, cols, pair));
                    }
                    _ => {}
                }
            }
        }
        let scales = columns.into_iter().filter_map(|(pair, columns)| {
            let rows = rows.get(pair)?;
            let rows = &rows[rows.len() - columns.len()..];
            Some((
                pair.into(),
                rows.iter().zip(columns).map(|(&row, columns)| balance(row, columns)).collect(),
            ))
        });
        Ok(EqualizationScales(scales.collect()))
    }
}

/// The values that a tensor has before it is equalized.
fn before(tensor: &TensorSpec, index: usize, checkpoint: &Checkpoint) -> Result<Vec<f32>, Diagnostic> {
    values::after(tensor, &tensor.transforms[..index], checkpoint, &EqualizationScales::default())
}

/// The scale between a row's mean square and that of the columns that read it; 1 where either is zero.
fn balance(row: f64, columns: f64) -> f32 {
    let scale = (row / columns).powf(0.25) as f32;
    if scale.is_normal() { scale } else { 1.0 }
}

fn mean_square(row: &[f32]) -> f64 {
    row.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>() / row.len() as f64
}

/// The mean square of the columns that read each channel.
fn channel_energies(values: &[f32], cols: usize, pair: &Pair) -> Vec<f64> {
    let mut energies = vec![0.0; cols / pair.repeat as usize];
    for row in values.chunks_exact(cols) {
        for (column, &w) in row.iter().enumerate() {
            energies[pair.channel(column)] += f64::from(w) * f64::from(w);
        }
    }
    let count = (values.len() / cols) as f64 * pair.repeat as f64;
    energies.iter_mut().for_each(|energy| *energy /= count);
    energies
}
