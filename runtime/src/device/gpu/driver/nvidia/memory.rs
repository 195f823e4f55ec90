//! Memory of the GPU, and memory of the host that it copies from and to by itself.

use std::{slice, sync::Arc};

use cudarc::driver::{result, sys::CUdeviceptr};

use super::{
    super::DriverError,
    context::Context,
    error::{Answered, not_allocated},
};

/// Memory of the GPU.
pub struct CudaMemory {
    context: Arc<Context>,
    address: CUdeviceptr,
    bytes: u64,
}

impl CudaMemory {
    /// Zeroed, aligned to 256 bytes as the driver promises.
    pub(super) fn zeroed(
        context: &Arc<Context>,
        what: &'static str,
        bytes: u64,
    ) -> Result<CudaMemory, DriverError> {
        let stream = context.stream()?;
        let free = || context.free_memory().unwrap_or(0);
        // SAFETY: the context is current; the memory is written below before anything reads it.
        let address = unsafe { result::malloc_sync(bytes.max(1) as usize) }
            .map_err(|error| not_allocated(error, what, bytes, free))?;
        let memory = CudaMemory { context: context.clone(), address, bytes };
        // SAFETY: the range is the memory just allocated.
        unsafe { result::memset_d8_async(address, 0, bytes.max(1) as usize, stream) }
            .during("clearing memory")?;
        Ok(memory)
    }

    /// The address of a range. Panics unless it lies inside.
    pub(super) fn address(&self, offset: u64, bytes: u64) -> CUdeviceptr {
        let end = offset.checked_add(bytes);
        let (from, all) = (offset, self.bytes);
        assert!(end.is_some_and(|end| end <= all), "{bytes} bytes from {from} on are not within {all}");
        self.address + offset
    }
}

impl Drop for CudaMemory {
    fn drop(&mut self) {
        self.context.release_after_work(|| {
            // SAFETY: allocated by this value, freed once, and no work is left that uses it.
            let _ = unsafe { result::free_sync(self.address) };
        });
    }
}

/// Memory of the host that stays where it is, so that copies run beside other work.
pub(super) struct Pinned {
    context: Arc<Context>,
    start: *mut u8,
    bytes: usize,
}

// SAFETY: the memory belongs to this value and is reached through it alone.
unsafe impl Send for Pinned {}

impl Pinned {
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Pinned, DriverError> {
        context.enter()?;
        // SAFETY: the context is current; the memory is written below before anything reads it.
        let start = unsafe { result::malloc_host(bytes, 0) }.during("pinning memory of the host")?;
        let start = start.cast::<u8>();
        // SAFETY: as many bytes were just allocated.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Pinned { context: context.clone(), start, bytes })
    }

    /// The bytes. Those that an unfinished copy reads or writes are not to be touched.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the memory belongs to this value and was written when it was made.
        unsafe { slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.context.release_after_work(|| {
            // SAFETY: allocated by this value, freed once, and no copy is left that uses it.
            let _ = unsafe { result::free_host(self.start.cast()) };
        });
    }
}
