//! The weights that calibration runs with: f32, after the function-preserving transforms, exchangeable.

use rayon::prelude::*;
use samp_abi::{Format, Layout, plan::TensorId};
use samp_ir::Diagnostic;
use samp_kernels::{
    encoded::{Encoded, EncodedRef},
    format::{RowSource, decode_rows, encode},
    layout,
    quantize::Rows,
};
use samp_runtime::Weights;

use super::{Evenings, values::transformed};
use crate::{
    emit::{PlanSpec, TensorSpec},
    import::Checkpoint,
};

/// Every tensor of an f32 program; by default none.
#[derive(Clone, Debug, Default)]
pub struct MasterWeights {
    tensors: Vec<Encoded>,
}

impl MasterWeights {
    /// Reads and transforms every tensor of `spec`, whose formats are all f32.
    pub fn load(
        spec: &PlanSpec,
        checkpoint: &Checkpoint,
        evenings: &Evenings,
    ) -> Result<MasterWeights, Diagnostic> {
        let load = |tensor: &TensorSpec| {
            let values = transformed(tensor, checkpoint, evenings)?;
            tensor.sources.iter().for_each(|source| checkpoint.release(&source.name));
            Ok(stored(&values, tensor.cols as usize, tensor.layout))
        };
        let tensors = spec.tensors.par_iter().map(load).collect::<Result<_, Diagnostic>>()?;
        Ok(MasterWeights { tensors })
    }

    /// The tensor's values, row-major.
    pub fn matrix(&self, id: TensorId) -> Vec<f32> {
        decoded(self.tensors[id.0 as usize].view())
    }

    /// Columns of a tensor.
    pub fn cols(&self, id: TensorId) -> usize {
        self.tensors[id.0 as usize].cols
    }

    /// Puts the decoded values of `rounded` in a tensor's place; returns what was there.
    pub fn exchange(&mut self, id: TensorId, rounded: EncodedRef<'_>) -> Encoded {
        self.exchange_values(id, &decoded(rounded))
    }

    /// Puts values, row-major, in a tensor's place; returns what was there.
    pub fn exchange_values(&mut self, id: TensorId, values: &[f32]) -> Encoded {
        let Encoded { cols, layout, .. } = self.tensors[id.0 as usize];
        self.restore(id, stored(values, cols, layout))
    }

    /// Puts back what an exchange returned.
    pub fn restore(&mut self, id: TensorId, tensor: Encoded) -> Encoded {
        std::mem::replace(&mut self.tensors[id.0 as usize], tensor)
    }
}

impl Weights for MasterWeights {
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
fn stored(values: &[f32], cols: usize, to: Layout) -> Encoded {
    let source: &dyn RowSource = &Rows { cols, values };
    let encoded = encode(Format::F32, values.len() / cols, cols, source, &[]).expect("f32 takes any shape");
    if to == Layout::RowMajor { encoded } else { layout::pack(encoded.view(), to) }
}
