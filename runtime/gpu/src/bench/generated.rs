//! Contents of devices that are made on the GPU: models without files.

use std::{borrow::Cow, sync::Arc};

use samp_abi::plan::{Plan, Tensor};
use samp_kernels::cuda::Source;
use samp_runtime::device::gpu::{Contents, Driver, DriverError, Range};

use crate::{
    Gpu,
    memory::{Filler, Pattern},
};

/// A manifest, and random but valid weights and cache.
pub struct Generated<'a, D: Driver> {
    /// Its GPU, which has the code.
    pub gpu: &'a Gpu<'a, D>,
    /// Fills its memory.
    pub filler: &'a Filler<D::Kernel>,
    /// What is executed.
    pub manifest: Arc<Plan>,
    /// What its cache is filled with.
    pub cached: Pattern,
}

impl<D: Driver> Generated<'_, D> {
    fn write(
        &self,
        memory: &D::Memory,
        tensor: &Tensor,
        places: &[Range],
        seed: u64,
    ) -> Result<(), DriverError> {
        for (index, (part, place)) in tensor.parts.iter().zip(places).enumerate() {
            let pattern = Pattern::of(tensor.format, part.component, part.dtype);
            self.gpu.fill_range(
                self.filler,
                (memory, *place),
                pattern,
                seed + (index * SEEDS_PER_ARRAY) as u64,
            )?;
        }
        Ok(())
    }
}

/// Numbers that the arrays of one weight are made from, each 4 GiB of an array from one.
const SEEDS_PER_WEIGHT: usize = 64;
const SEEDS_PER_ARRAY: usize = 8;

impl<'a, D: Driver> Contents<&'a D> for Generated<'a, D> {
    fn manifest(&self) -> Arc<Plan> {
        self.manifest.clone()
    }

    fn code(&self, _path: &str, source: &Source) -> Result<Cow<'_, [u8]>, DriverError> {
        let missing = |error: crate::code::CodeError| DriverError::Kernel {
            stem: source.stem,
            reason: error.to_string(),
        };
        Ok(self.gpu.code.of(source).map_err(missing)?.into())
    }

    fn write_weights(
        &self,
        _driver: &&'a D,
        memory: &D::Memory,
        places: &[Vec<Range>],
    ) -> Result<(), DriverError> {
        let seeds = (0u64..).step_by(SEEDS_PER_WEIGHT);
        let mut all = self.manifest.tensors.iter().zip(places).zip(seeds);
        all.try_for_each(|((tensor, places), seed)| self.write(memory, tensor, places, seed))
    }

    fn write_cache(&self, _driver: &&'a D, memory: &D::Memory, bytes: u64) -> Result<(), DriverError> {
        self.gpu.fill_range(self.filler, (memory, Range { offset: 0, bytes }), self.cached, 0)
    }
}
