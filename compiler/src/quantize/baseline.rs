//! The weights that calibration runs with: f32, after the function-preserving transforms, exchangeable, on disk.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use samp_abi::{Format, Layout, plan::TensorId};
use samp_kernels::{
    encoded::{Encoded, EncodedRef},
    format::{RowSource, decode_rows, encode},
    layout,
    quantize::MatrixRef,
};
use samp_runtime::Weights;

use super::{
    equalization_scales::EqualizationScales, error::QuantizeError, spill::SpilledTensor, values::transformed,
};
use crate::{
    import::Checkpoint,
    lower::{PlanSpec, TensorSpec},
};

/// Every tensor of an f32 program; by default none. Matrices are in files that the system reads as they are needed, so
/// that a model may be larger than memory.
#[derive(Clone, Debug, Default)]
pub struct BaselineWeights {
    tensors: Vec<SpilledTensor>,
    dir: PathBuf,
}

impl BaselineWeights {
    /// Reads and transforms every tensor of `spec`, whose formats are all f32, into files in `dir`, which must exist. Holds
    /// one tensor for each thread.
    pub fn load(
        spec: &PlanSpec,
        checkpoint: &Checkpoint,
        equalization: &EqualizationScales,
        dir: &Path,
    ) -> Result<BaselineWeights, QuantizeError> {
        let load = |tensor: &TensorSpec| {
            let values = transformed(tensor, checkpoint, equalization)?;
            tensor.sources.iter().for_each(|source| checkpoint.release(&source.name));
            let stored = stored(&values, tensor.cols as usize, tensor.layout);
            SpilledTensor::spill(stored, dir).map_err(|source| QuantizeError::Spill {
                tensor: tensor.name.clone(),
                dir: dir.into(),
                source,
            })
        };
        let tensors = spec.tensors.par_iter().map(load).collect::<Result<_, QuantizeError>>()?;
        Ok(BaselineWeights { tensors, dir: dir.into() })
    }

    /// Where the files are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tensor's values, row-major.
    pub fn matrix(&self, id: TensorId) -> Vec<f32> {
        decoded(self.tensors[id.0 as usize].view())
    }

    /// The tensor as it is kept; a copy of one on disk takes nothing.
    pub(super) fn spilled(&self, id: TensorId) -> SpilledTensor {
        self.tensors[id.0 as usize].clone()
    }

    /// Columns of a tensor.
    pub fn cols(&self, id: TensorId) -> usize {
        self.tensors[id.0 as usize].view().cols
    }

    /// Puts values, row-major, in a tensor's place, for a while and in memory; returns what was there.
    pub fn exchange(&mut self, id: TensorId, values: &[f32]) -> SpilledTensor {
        let changed = SpilledTensor::Memory(self.stored_as(id, values));
        std::mem::replace(&mut self.tensors[id.0 as usize], changed)
    }

    /// Puts back what an exchange returned.
    pub fn restore(&mut self, id: TensorId, tensor: SpilledTensor) {
        self.tensors[id.0 as usize] = tensor;
    }

    /// Puts values, row-major, in a tensor's place, for good.
    pub fn commit(&mut self, id: TensorId, values: &[f32]) -> Result<(), QuantizeError> {
        let changed = self.stored_as(id, values);
        let spilled = SpilledTensor::spill(changed, &self.dir).map_err(QuantizeError::Store)?;
        self.restore(id, spilled);
        Ok(())
    }

    fn stored_as(&self, id: TensorId, values: &[f32]) -> Encoded {
        let before = self.tensors[id.0 as usize].view();
        stored(values, before.cols, before.layout)
    }
}

impl Weights for BaselineWeights {
    fn tensor(&self, id: TensorId) -> EncodedRef<'_> {
        self.tensors[id.0 as usize].view()
    }
}

/// The rows of an encoded tensor.
pub(super) fn decoded(tensor: EncodedRef<'_>) -> Vec<f32> {
    let mut values = vec![0.0; tensor.rows * tensor.cols];
    let rows = values.par_chunks_mut(tensor.cols.max(1)).enumerate();
    rows.for_each(|(row, out)| decode_rows(tensor, row, out));
    values
}

/// Values as f32 in a layout.
pub(super) fn stored(values: &[f32], cols: usize, to: Layout) -> Encoded {
    let source: &dyn RowSource = &MatrixRef { cols, values };
    let encoded = encode(Format::F32, values.len() / cols, cols, source, &[]).expect("f32 takes any shape");
    if to == Layout::RowMajor { encoded } else { layout::pack(encoded.view(), to) }
}
