//! Plans whose weights are made on the GPU: models without files.

use std::{borrow::Cow, sync::Arc};

use samp_abi::plan::Plan;
use samp_kernels::cuda::Source;
use samp_runtime::device::gpu::{Driver, DriverError, PlanSource, Range};

use crate::{
    code::CodeError,
    gpu::Gpu,
    memory::{FillKernel, WeightArray},
    pattern::Pattern,
};

/// A manifest, and random but valid weights and cache.
pub struct SyntheticSource<'a, D: Driver> {
    /// Its GPU, which has the code.
    pub gpu: &'a Gpu<'a, D>,
    /// Fills its memory.
    pub fill: &'a FillKernel<'a, D>,
    /// What is executed.
    pub manifest: Arc<Plan>,
    /// What its cache is filled with.
    pub cached: Pattern,
}

impl<'a, D: Driver> PlanSource<&'a D> for SyntheticSource<'a, D> {
    fn manifest(&self) -> Arc<Plan> {
        self.manifest.clone()
    }

    fn code(&self, _path: &str, source: &Source) -> Result<Cow<'_, [u8]>, DriverError> {
        let missing =
            |error: CodeError| DriverError::Kernel { kernel: source.symbol, reason: error.to_string() };
        Ok(self.gpu.code.cubin(source).map_err(missing)?.into())
    }

    fn write_weights(
        &self,
        _driver: &&'a D,
        memory: &D::Memory,
        places: &[Vec<Range>],
    ) -> Result<(), DriverError> {
        let mut all = (0u64..).zip(self.manifest.tensors.iter().zip(places));
        all.try_for_each(|(number, (tensor, places))| {
            let arrays = tensor.parts.iter().zip(places).map(|(part, range)| WeightArray {
                component: part.component,
                dtype: part.dtype,
                range: *range,
            });
            self.fill.fill_weight(memory, tensor.format, number, arrays)
        })
    }

    fn write_cache(&self, _driver: &&'a D, memory: &D::Memory, bytes: u64) -> Result<(), DriverError> {
        self.fill.fill_range(memory, Range { offset: 0, bytes }, self.cached, 0)
    }
}
