//! Checkpoint tensors as rows of f32, read where they lie.

use samp_ir::Diagnostic;
use samp_kernels::format::RowSource;

use super::tensor_view::WeightView;
use crate::error_code;

/// One or several tensors as one `[rows, cols]` matrix: matrices of equal width one below the other, vectors one
/// after the other in a single row.
#[derive(Clone, Debug)]
pub struct SourceRows<'a> {
    tensors: Vec<WeightView<'a>>,
    rows: usize,
    cols: usize,
}

impl<'a> SourceRows<'a> {
    /// Errors: no tensor, matrices of different widths, or matrices beside vectors.
    pub fn new(tensors: Vec<WeightView<'a>>) -> Result<SourceRows<'a>, Diagnostic> {
        let refuse = |tensor: &WeightView<'_>, expected: &str| {
            let message = format!("expected {expected}, found {:?} {:?}", tensor.dtype, tensor.shape);
            Diagnostic::bad_input(error_code::BINDING, message).in_file(tensor.file()).at_tensor(tensor.name)
        };
        let Some(first) = tensors.first() else {
            return Err(Diagnostic::compiler_bug(
                error_code::BINDING,
                "expected a tensor to read, found none",
            ));
        };
        let (mut rows, mut cols) = (0, 0);
        for tensor in &tensors {
            match (tensor.shape, first.shape) {
                ([n], [_]) => (rows, cols) = (1, cols + *n as usize),
                ([r, c], [_, width]) if c == width => (rows, cols) = (rows + *r as usize, *c as usize),
                _ => return Err(refuse(tensor, &format!("a tensor to put beside one of {:?}", first.shape))),
            }
        }
        Ok(SourceRows { tensors, rows, cols })
    }

    /// SourceRows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

impl RowSource for SourceRows<'_> {
    /// Row-major matrices below one another and vectors beside one another are both their elements in sequence.
    fn read(&self, first: usize, mut out: &mut [f32]) {
        let mut skip = first * self.cols;
        for tensor in &self.tensors {
            let elements = tensor.elements();
            let from = skip.min(elements);
            let count = (elements - from).min(out.len());
            let (head, tail) = out.split_at_mut(count);
            tensor.read(from, head);
            out = tail;
            skip -= from;
        }
        assert!(out.is_empty(), "rows {first}.. of {} were asked for more than there is", self.rows);
    }
}
