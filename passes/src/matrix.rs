//! The matrices of a graph whose formats are to be decided.

use samp_abi::{Format, Layout, plan::OpKind};
use samp_ir::{LinearOp, Module, Shape, WeightOp};

/// A matrix whose format is to be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Its name in the graph.
    pub key: String,
    /// Output channels, or entries of a table.
    pub rows: u64,
    /// Input channels, or the width of an entry.
    pub cols: u64,
    /// What reads it: [`OpKind::Linear`], or [`OpKind::Embed`] alone.
    pub reader: OpKind,
}

impl Matrix {
    /// Whether bits per weight are counted over it.
    pub fn is_decoder_linear(&self) -> bool {
        self.key.starts_with("layers.")
    }

    /// Bytes in a format, with so many outlier columns if it keeps them apart. The layout is chosen later; none takes
    /// more than this.
    pub fn bytes(&self, format: Format, outliers: usize) -> u64 {
        let bytes = |layout: &Layout| layout.bytes_with(format, self.rows, self.cols, outliers as u64);
        Layout::ALL.iter().map(bytes).max().unwrap_or(0)
    }
}

/// Every matrix of a graph, in its order.
pub fn matrices(module: &Module) -> Vec<Matrix> {
    module.views::<WeightOp>().filter(is_matrix).map(matrix).collect()
}

/// Whether a weight is a matrix; the others are vectors, such as norms and biases.
pub(crate) fn is_matrix(weight: &WeightOp<'_>) -> bool {
    matches!(weight.tensor_type().shape, Shape::Matrix { .. })
}

fn matrix(weight: WeightOp<'_>) -> Matrix {
    let shape = weight.tensor_type();
    let reader = if a_linear_reads(weight) { OpKind::Linear } else { OpKind::Embed };
    Matrix { key: weight.key().to_owned(), rows: shape.rows().unwrap_or(0), cols: shape.width(), reader }
}

fn a_linear_reads(weight: WeightOp<'_>) -> bool {
    let readers = weight.module().users(weight.value());
    readers.iter().any(|op| weight.module().view::<LinearOp>(op.id()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 256 rows of two bytes, and an index of four, for each column kept.
    #[test]
    fn outlier_columns_take_bytes_in_the_format_that_keeps_them_alone() {
        let matrix = Matrix { key: "layers.0.a".into(), rows: 256, cols: 128, reader: OpKind::Linear };
        for (format, more) in [(Format::INT8_OUTLIERS, 3 * (2 * 256 + 4)), (Format::INT8, 0)] {
            assert_eq!(matrix.bytes(format, 3) - matrix.bytes(Format::INT8, 0), more, "{format}");
        }
    }
}
