//! The columns of a weight in the order in which they are rounded, and which of them share a scale.

use samp_abi::Format;

use super::{CholeskyFactor, Rounding};
use crate::encoded::misplaced_column;
use crate::format::EncodeError;

/// Columns that are corrected together before they are rounded one by one (GPTQ's lazy batches): a multiple of the
/// block of every format with blocks.
pub(super) const LAZY: usize = 128;

pub(super) struct Columns {
    /// The column at each place of the order.
    pub order: Vec<usize>,
    /// The place of each column.
    pub places: Vec<usize>,
    /// How much a column's error counts in the search for a scale, by place; 1 on average.
    pub importance: Vec<f32>,
    /// Columns that share a scale.
    pub block: usize,
    /// Whether the scale of a block is found when it is reached; otherwise all are found first.
    pub lazily: bool,
    /// By place, where a column that is kept in f16 stands among these.
    pub kept: Vec<Option<usize>>,
}

impl Columns {
    /// Columns in the order of `factor`.
    pub fn of_factor(factor: &CholeskyFactor, rounding: &Rounding) -> Result<Columns, EncodeError> {
        Columns::new(factor.order.clone(), &factor.diagonal, rounding)
    }

    /// `order`, and by place the energy of the columns.
    pub fn new(order: Vec<usize>, energy: &[f64], rounding: &Rounding) -> Result<Columns, EncodeError> {
        let (format, cols) = (rounding.format, order.len());
        let multiple = format.column_multiple() as usize;
        if !cols.is_multiple_of(multiple) {
            return Err(EncodeError::Columns { format, multiple, cols });
        }
        let outliers =
            if format == (Format::Int8 { outliers: true }) { rounding.outlier_columns } else { &[] };
        if let Some(column) = misplaced_column(outliers, cols) {
            return Err(EncodeError::OutlierColumns { cols, column });
        }
        let mut places = vec![0; cols];
        order.iter().enumerate().for_each(|(place, &column)| places[column] = place);
        let mut kept = vec![None; cols];
        for (slot, &column) in outliers.iter().enumerate() {
            kept[places[column as usize]] = Some(slot);
        }
        let block = if multiple == 1 { cols } else { multiple };
        let mut blocks = order.chunks(block.max(1));
        let together = blocks.all(|b| b.iter().all(|column| column / block == b[0] / block));
        let importance = relative(energy);
        Ok(Columns { places, importance, block, lazily: together && block <= LAZY, kept, order })
    }

    /// Scales of a row.
    pub fn blocks(&self) -> usize {
        self.order.len().checked_div(self.block).unwrap_or(0)
    }
}

/// Energies by their mean; all equal where none has any.
fn relative(energy: &[f64]) -> Vec<f32> {
    let mean = energy.iter().sum::<f64>() / energy.len().max(1) as f64;
    energy.iter().map(|e| if mean > 0.0 { (e / mean) as f32 } else { 1.0 }).collect()
}
