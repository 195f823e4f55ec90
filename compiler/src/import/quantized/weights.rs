//! The quantized weights of a checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use samp_abi::Format;
use samp_ir::Diagnostic;
use samp_kernels::{encoded::Encoded, format::RowSource};

use super::{
    keep::{self, Lost},
    stored::StoredTensor,
    weight::GridWeight,
};
use crate::{error_code, import::gguf::BlockWeight};

/// A weight that has to be decoded.
#[derive(Clone, Debug)]
pub(in crate::import) enum QuantizedWeight {
    /// Codes with scales and zero points apart from them.
    Grid(Box<GridWeight>),
    /// Blocks of GGUF.
    Blocks(BlockWeight),
}

impl QuantizedWeight {
    pub(in crate::import) fn shape(&self) -> &[u64] {
        match self {
            QuantizedWeight::Grid(weight) => weight.shape(),
            QuantizedWeight::Blocks(weight) => weight.shape(),
        }
    }

    /// The format that holds the very values, or why there is none.
    pub(in crate::import) fn kept_format(&self) -> Result<Format, Lost> {
        match self {
            QuantizedWeight::Grid(weight) => weight.kept_format(),
            QuantizedWeight::Blocks(weight) => weight.kept_format(),
        }
    }

    /// The mean of its block maxima and how many there are, where their codes are kept.
    pub(in crate::import) fn kept_block_maxima(&self) -> Option<(f32, u64)> {
        match self {
            QuantizedWeight::Grid(weight) => weight.kept_block_maxima(),
            QuantizedWeight::Blocks(_) => None,
        }
    }

    /// Columns of what is read as a row.
    pub(in crate::import) fn cols(&self) -> usize {
        match self {
            QuantizedWeight::Grid(weight) => weight.cols(),
            QuantizedWeight::Blocks(weight) => weight.cols(),
        }
    }

    /// Every tensor that the values follow from.
    pub(in crate::import) fn tensors(&self) -> Vec<&StoredTensor> {
        match self {
            QuantizedWeight::Grid(weight) => weight.tensors().collect(),
            QuantizedWeight::Blocks(weight) => vec![weight.tensor()],
        }
    }
}

impl RowSource for QuantizedWeight {
    fn read(&self, first: usize, out: &mut [f32]) {
        match self {
            QuantizedWeight::Grid(weight) => weight.read(first, out),
            QuantizedWeight::Blocks(weight) => weight.read(first, out),
        }
    }
}

/// What was found of a quantized checkpoint's weights.
#[derive(Debug, Default)]
pub(in crate::import) struct QuantizedWeights {
    /// By the name that the architecture gives the weight.
    pub(in crate::import) weights: BTreeMap<String, QuantizedWeight>,
    /// Tensors that these are read from, and those that go with them.
    pub(in crate::import) read: BTreeSet<String>,
    /// Tensors that are left out.
    pub(in crate::import) left_out: Vec<String>,
}

impl QuantizedWeights {
    /// A warning of what is left out.
    pub(in crate::import) fn warning(&self) -> Option<Diagnostic> {
        let first = self.left_out.first()?;
        let message = format!(
            "left out {} tensors that say how activations are to be quantized: weights do not depend on them",
            self.left_out.len()
        );
        Some(Diagnostic::bad_input(error_code::UNREAD_TENSORS, message).warning().at_tensor(first))
    }
}

/// Weights below one another as one tensor of `format`, code by code; `None` where they are not kept in it.
pub(in crate::import) fn kept(weights: &[&QuantizedWeight], format: Format) -> Option<Result<Encoded, Lost>> {
    let grids = weights.iter().map(|weight| match weight {
        QuantizedWeight::Grid(weight) if weight.kept_format() == Ok(format) => Some(&**weight),
        _ => None,
    });
    Some(keep::kept(&grids.collect::<Option<Vec<&GridWeight>>>()?, format))
}
