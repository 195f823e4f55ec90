//! The GPU as the driver knows it: its primary context, and the one stream of all work.

use std::{ptr, sync::Arc};

use cudarc::driver::{
    result::{self, ctx, primary_ctx, stream},
    sys::{CUcontext, CUdevice, CUstream, CUstreamCaptureStatus},
};

use super::{
    super::DriverError,
    error::Answered,
    info::{self, DeviceInfo},
};

/// Kept by everything that lives on the GPU, so that it is left last.
pub(super) struct Context {
    pub info: DeviceInfo,
    device: CUdevice,
    context: CUcontext,
    stream: CUstream,
}

// SAFETY: the handles are names that the driver takes on any thread; it locks what they stand for.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub fn open(ordinal: usize) -> Result<Arc<Context>, DriverError> {
        let (device, info) = info::find(ordinal)?;
        // SAFETY: the device was given by the driver.
        let context = unsafe { primary_ctx::retain(device) }.during("opening the GPU")?;
        let mut opened = Context { info, device, context, stream: ptr::null_mut() };
        opened.enter()?;
        // Beside the default stream, whose work would otherwise wait for this one's and the other way round.
        opened.stream = stream::create(stream::StreamKind::NonBlocking).during("opening the GPU")?;
        Ok(Arc::new(opened))
    }

    /// Makes it the calling thread's context, which all other calls need.
    pub fn enter(&self) -> Result<(), DriverError> {
        // SAFETY: the context is retained while this value lives.
        unsafe { ctx::set_current(self.context) }.during("turning to the GPU")
    }

    /// The stream, with the context made the calling thread's.
    pub fn stream(&self) -> Result<CUstream, DriverError> {
        self.enter()?;
        Ok(self.stream)
    }

    /// Refuses what a graph cannot hold: it would spoil the recording, or be repeated with what lies in the staging memory
    /// by then.
    pub fn outside_recording(&self, during: &'static str) -> Result<(), DriverError> {
        let stream = self.stream()?;
        // SAFETY: the stream lives as long as this value.
        let status = unsafe { stream::is_capturing(stream) }.during(during)?;
        if status == CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE {
            return Ok(());
        }
        Err(DriverError::Failed { during, reason: "only launches can be recorded".into() })
    }

    /// Waits for all work; faults of kernels before show here.
    pub fn wait(&self, during: &'static str) -> Result<(), DriverError> {
        let stream = self.stream()?;
        // SAFETY: the stream lives as long as this value.
        unsafe { stream::synchronize(stream) }.during(during)
    }

    /// Free memory in bytes.
    pub fn free_memory(&self) -> Result<u64, DriverError> {
        self.enter()?;
        let (free, _) = result::mem_get_info().during("asking for free memory")?;
        Ok(free as u64)
    }

    /// Releases something of the driver's after all work that may use it. Where the GPU has failed, so may this: all is
    /// released when the process ends.
    pub fn release_after_work(&self, release: impl FnOnce()) {
        if self.enter().is_ok() {
            let _ = self.wait("waiting before memory is given back");
            release();
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let stream = self.stream;
        self.release_after_work(|| {
            // SAFETY: all that uses the stream holds this value, and is gone.
            let _ = (!stream.is_null()).then(|| unsafe { stream::destroy(stream) });
        });
        // SAFETY: the device is the one whose context was retained, once.
        let _ = unsafe { primary_ctx::release(self.device) };
    }
}
