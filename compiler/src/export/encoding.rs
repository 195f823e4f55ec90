//! How a weight lies in a file of an exported checkpoint.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use safetensors::Dtype;
use samp_runtime::OpenPlan;

use super::{float_type::FloatType, weight::CheckpointWeight};
use crate::emit::{EmitError, error::During};

/// An array that a weight is stored as.
pub(super) struct StoredPart {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    /// Outermost dimension first.
    pub(super) shape: Vec<u64>,
}

impl StoredPart {
    /// An array of a weight's module, called by what its name ends in.
    pub(super) fn of(weight: &CheckpointWeight, ending: &str, dtype: Dtype, shape: &[u64]) -> StoredPart {
        StoredPart { name: format!("{}.{ending}", weight.module()), dtype, shape: shape.to_vec() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.dtype.bitsize() as u64 / 8
    }
}

/// A way of storing weights.
pub(super) trait Encoding {
    /// Its name, for people.
    fn name(&self) -> String;

    /// What its plain values or its scales are in; `None` where scales are f32 and readers keep them so.
    fn float_type(&self) -> Option<FloatType>;

    /// The arrays, in the order in which they are written.
    fn parts(&self, weight: &CheckpointWeight) -> Vec<StoredPart>;

    /// Writes the bytes of all parts; gives the largest relative error of any value.
    ///
    /// # Errors
    /// The file cannot be written, or a value cannot be held.
    fn write(
        &self,
        plan: &OpenPlan,
        weight: &CheckpointWeight,
        out: &mut OutputBytes,
    ) -> Result<f32, EmitError>;
}

/// How a weight will be stored, and why that changes its values, if it may.
pub(super) struct Choice {
    pub(super) encoding: Box<dyn Encoding>,
    pub(super) rounded: Option<String>,
}

impl Choice {
    pub(super) fn exact(encoding: impl Encoding + 'static) -> Choice {
        Choice { encoding: Box::new(encoding), rounded: None }
    }

    pub(super) fn rounded(encoding: impl Encoding + 'static, why: impl Into<String>) -> Choice {
        Choice { encoding: Box::new(encoding), rounded: Some(why.into()) }
    }
}

/// A file that is being written.
pub(super) struct OutputBytes {
    file: BufWriter<File>,
    path: PathBuf,
}

impl OutputBytes {
    pub(super) fn create(path: &Path) -> Result<OutputBytes, EmitError> {
        let file = File::create(path).during("creating", path)?;
        Ok(OutputBytes { file: BufWriter::with_capacity(1 << 20, file), path: path.into() })
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), EmitError> {
        self.file.write_all(bytes).during("writing", &self.path)
    }

    /// Syncs the whole file.
    pub(super) fn finish(self) -> Result<(), EmitError> {
        let path = self.path;
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.during("writing", &path)?.sync_all().during("syncing", &path)
    }
}
