//! Code on the GPU.

use std::{ffi::CString, sync::Arc};

use cudarc::driver::{
    result::{self, function, module},
    sys::{self, CUfunction, CUfunction_attribute as Attribute, CUmodule, CUresult},
};
use samp_kernels::{cuda::Source, target::HOPPER};

use super::{super::DriverError, context::Context, cubin, error::reason};

/// A kernel that can be launched.
pub struct CudaKernel {
    module: Module,
    pub(super) function: CUfunction,
    pub(super) name: &'static str,
    /// Sizes of its parameters in bytes.
    pub(super) parameters: Vec<usize>,
    /// Whether it may begin before the launch ahead of it has ended.
    pub(super) overlaps: bool,
}

// SAFETY: the handles are names that the driver takes on any thread.
unsafe impl Send for CudaKernel {}

impl CudaKernel {
    pub(super) fn load(
        context: &Arc<Context>,
        source: &Source,
        code: &[u8],
    ) -> Result<CudaKernel, DriverError> {
        let name = source.symbol;
        let failed = |reason: String| DriverError::Kernel { kernel: name, reason };
        if let Some(flaw) = cubin::flaw(code) {
            return Err(failed(format!("its code of {} bytes {flaw}; compile the model again", code.len())));
        }
        context.enter()?;
        let refused = |error| failed(refusal(context, error));
        // SAFETY: the code is whole, as was just seen, and the context is current.
        let module = unsafe { module::load_data(code.as_ptr().cast()) }.map_err(refused)?;
        let module = Module { context: context.clone(), module };
        let symbol = CString::new(name).map_err(|_| failed("its name holds a zero byte".into()))?;
        // SAFETY: the module was just loaded.
        let function = unsafe { module::get_function(module.module, symbol) }.map_err(refused)?;
        allow_all_shared_memory(context, function).map_err(refused)?;
        let parameters = parameter_sizes(function).map_err(refused)?;
        // Only Hopper and what follows it start a launch before the one ahead has ended.
        let overlaps = context.info.compute_capability >= HOPPER && source.waits_for_launch_before();
        Ok(CudaKernel { module, function, name, parameters, overlaps })
    }

    /// The context that it was loaded into.
    pub(super) fn context(&self) -> &Arc<Context> {
        &self.module.context
    }
}

struct Module {
    context: Arc<Context>,
    module: CUmodule,
}

impl Drop for Module {
    fn drop(&mut self) {
        self.context.release_after_work(|| {
            // SAFETY: loaded by this value, unloaded once, and no work is left that runs its code.
            let _ = unsafe { module::unload(self.module) };
        });
    }
}

fn refusal(context: &Context, error: result::DriverError) -> String {
    let info = &context.info;
    let (major, minor) = info.compute_capability;
    let reason = reason(error);
    format!("its code does not load on {} of compute capability {major}.{minor}: {reason}", info.name)
}

/// Without this, a launch may ask for 48 KiB at most.
fn allow_all_shared_memory(context: &Context, function: CUfunction) -> Result<(), result::DriverError> {
    // SAFETY: the function belongs to a module that is loaded, here and below.
    let fixed = unsafe {
        function::get_function_attribute(function, Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)
    }?;
    let most = context.info.shared_bytes_per_block as i32 - fixed;
    let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    // SAFETY: as above.
    unsafe { function::set_function_attribute(function, attribute, most) }
}

fn parameter_sizes(function: CUfunction) -> Result<Vec<usize>, result::DriverError> {
    let mut sizes = vec![];
    loop {
        let (mut offset, mut size) = (0, 0);
        // SAFETY: the function belongs to a module that is loaded; two integers are written.
        match unsafe { sys::cuFuncGetParamInfo(function, sizes.len(), &mut offset, &mut size) } {
            CUresult::CUDA_SUCCESS => sizes.push(size),
            // There is no such parameter.
            CUresult::CUDA_ERROR_INVALID_VALUE => return Ok(sizes),
            other => return Err(result::DriverError(other)),
        }
    }
}
