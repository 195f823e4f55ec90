//! What a device is readied with: a manifest, the code of its kernels, and what its memory holds at first.

use std::{borrow::Cow, sync::Arc};

use samp_abi::plan::{Plan, TensorId};
use samp_kernels::cuda::Source;

use super::{Driver, DriverError};
use crate::{plan::OpenPlan, progress::Progress};

/// A range of a device's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

/// What stands behind a manifest.
pub trait PlanSource<D: Driver> {
    /// What is to be executed. All that [`validate_manifest`](crate::validate_manifest) looks at holds, but for the files.
    fn manifest(&self) -> Arc<Plan>;

    /// Machine code of a kernel, which in a plan is the file `path`.
    fn code(&self, path: &str, source: &Source) -> Result<Cow<'_, [u8]>, DriverError>;

    /// Writes the arrays of every tensor, each to its place in `memory`.
    fn write_weights(&self, driver: &D, memory: &D::Memory, places: &[Vec<Range>])
    -> Result<(), DriverError>;

    /// Writes the cache before anything is appended; it may stay zeros.
    fn write_cache(&self, _driver: &D, _memory: &D::Memory, _bytes: u64) -> Result<(), DriverError> {
        Ok(())
    }
}

/// A plan that lies in files.
pub struct StoredPlan<'a> {
    /// The plan, opened and checked.
    pub plan: &'a OpenPlan,
    /// Hears of the weights' bytes as they are written, one stored array after another.
    pub progress: &'a dyn Progress,
}

impl<D: Driver> PlanSource<D> for StoredPlan<'_> {
    fn manifest(&self) -> Arc<Plan> {
        self.plan.shared_manifest()
    }

    fn code(&self, path: &str, _source: &Source) -> Result<Cow<'_, [u8]>, DriverError> {
        Ok(self.plan.file(path).expect("an open plan has the code of its kernels").into())
    }

    fn write_weights(
        &self,
        driver: &D,
        memory: &D::Memory,
        places: &[Vec<Range>],
    ) -> Result<(), DriverError> {
        let manifest = self.plan.manifest();
        self.progress.begin("taking weights", manifest.memory.weights_bytes);
        for (index, (tensor, places)) in manifest.tensors.iter().zip(places).enumerate() {
            let view = self.plan.tensor(TensorId(index as u32));
            for (part, place) in tensor.parts.iter().zip(places) {
                driver.upload(memory, place.offset, view.part(part.component))?;
                // Nothing can be continued later: a load that stopped begins anew.
                let _ = self.progress.advance(&tensor.name, part.bytes);
            }
        }
        self.progress.end();
        Ok(())
    }
}
