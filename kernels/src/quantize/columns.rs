//! The columns of a weight in the order in which they are rounded, and which of them share a scale.

use samp_abi::Format;

use super::{CholeskyFactor, RoundingSpec};
use crate::encoded::misplaced_column;
use crate::format::EncodeError;

/// Columns that are corrected together before they are rounded one by one (GPTQ's lazy batches): a multiple of the
/// block of every format with blocks.
pub(super) const LAZY_BATCH: usize = 128;

/// The permutation of a weight's columns, and what belongs to each.
pub(super) struct Columns {
    /// Which column is rounded at each step.
    pub perm: Vec<usize>,
    /// At which step each column is rounded.
    pub inverse_perm: Vec<usize>,
    /// How much a column's error counts in the search for a scale, permuted; 1 on average.
    pub importance: Vec<f32>,
    /// Columns that share a scale.
    pub block: usize,
    /// Whether the scale of a block is found when it is reached, on the weights as corrected by then; otherwise all are
    /// found first (GPTQ's static groups).
    pub dynamic_groups: bool,
    /// Permuted: the index of a column among those kept in f16, if it is one of them.
    pub kept: Vec<Option<usize>>,
}

impl Columns {
    /// Columns in the order of `factor`.
    pub fn from_factor(factor: &CholeskyFactor, rounding: &RoundingSpec) -> Result<Columns, EncodeError> {
        Columns::new(factor.perm.clone(), &factor.damped_diag, rounding)
    }

    /// A permutation, and the energy of the columns, permuted.
    pub fn new(perm: Vec<usize>, energy: &[f64], rounding: &RoundingSpec) -> Result<Columns, EncodeError> {
        let (format, cols) = (rounding.format, perm.len());
        let multiple = format.column_multiple() as usize;
        if !cols.is_multiple_of(multiple) {
            return Err(EncodeError::Columns { format, multiple, cols });
        }
        let outliers =
            if format == (Format::Int8 { outliers: true }) { rounding.outlier_columns } else { &[] };
        if let Some(column) = misplaced_column(outliers, cols) {
            return Err(EncodeError::OutlierColumns { cols, column });
        }
        let mut inverse_perm = vec![0; cols];
        perm.iter().enumerate().for_each(|(perm_index, &column)| inverse_perm[column] = perm_index);
        let mut kept = vec![None; cols];
        for (slot, &column) in outliers.iter().enumerate() {
            kept[inverse_perm[column as usize]] = Some(slot);
        }
        let block = if multiple == 1 { cols } else { multiple };
        let mut blocks = perm.chunks(block.max(1));
        let together = blocks.all(|b| b.iter().all(|column| column / block == b[0] / block));
        let importance = relative(energy);
        let dynamic_groups = together && block <= LAZY_BATCH;
        Ok(Columns { perm, inverse_perm, importance, block, dynamic_groups, kept })
    }

    /// Scales of a row.
    pub fn blocks(&self) -> usize {
        self.perm.len().checked_div(self.block).unwrap_or(0)
    }
}

/// Energies by their mean; all equal where none has any.
fn relative(energy: &[f64]) -> Vec<f32> {
    let mean = energy.iter().sum::<f64>() / energy.len().max(1) as f64;
    energy.iter().map(|e| if mean > 0.0 { (e / mean) as f32 } else { 1.0 }).collect()
}
