//! Recorded launches.

use std::sync::Arc;

use cudarc::driver::{
    result::{graph, stream},
    sys::{CUgraph, CUgraphExec, CUgraphInstantiate_flags, CUstream, CUstreamCaptureMode},
};

use super::{super::DriverError, context::Context, error::Answered};

/// Launches that go to the GPU as one. The memory and the kernels among them must be there when they are launched.
pub struct CudaGraph {
    context: Arc<Context>,
    graph: CUgraphExec,
}

// SAFETY: the handle is a name that the driver takes on any thread, though on one at a time, as this value is.
unsafe impl Send for CudaGraph {}

impl CudaGraph {
    /// Records what `work` launches, in place of running it.
    pub(super) fn record(
        context: &Arc<Context>,
        work: &mut dyn FnMut() -> Result<(), DriverError>,
    ) -> Result<CudaGraph, DriverError> {
        let capture = Capture::begin(context.stream()?)?;
        let outcome = work();
        let recorded = capture.end();
        outcome?;
        let recorded = recorded?;
        // SAFETY: the recorded graph is whole and lives.
        let graph = unsafe { graph::instantiate(recorded.0, CUgraphInstantiate_flags(0)) }
            .during("making recorded launches ready")?;
        let graph = CudaGraph { context: context.clone(), graph };
        // SAFETY: graph and stream live. This makes the first launch as fast as the others.
        unsafe { graph::upload(graph.graph, context.stream()?) }.during("handing recorded launches over")?;
        Ok(graph)
    }

    /// Puts all of them behind the work so far.
    pub(super) fn launch(&self) -> Result<(), DriverError> {
        let stream = self.context.stream()?;
        // SAFETY: graph and stream live.
        unsafe { graph::launch(self.graph, stream) }.during("launching what was recorded")
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        self.context.release_after_work(|| {
            // SAFETY: made by this value, destroyed once, and no launch of it is left.
            let _ = unsafe { graph::exec_destroy(self.graph) };
        });
    }
}

/// A stream that records. It ends also where the work panics.
struct Capture(Option<CUstream>);

impl Capture {
    fn begin(stream: CUstream) -> Result<Capture, DriverError> {
        // Of this thread alone: what others ask of the driver meanwhile spoils nothing.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives.
        unsafe { stream::begin_capture(stream, mode) }.during("beginning to record")?;
        Ok(Capture(Some(stream)))
    }

    fn end(mut self) -> Result<Recorded, DriverError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<Recorded, DriverError> {
        let stream = self.0.take().expect("a capture ends once");
        // SAFETY: the stream lives and records, on this thread.
        unsafe { stream::end_capture(stream) }.map(Recorded).during("recording launches")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if self.0.is_some() {
            let _ = self.finish();
        }
    }
}

/// What was recorded, before it is made ready.
struct Recorded(CUgraph);

impl Drop for Recorded {
    fn drop(&mut self) {
        // SAFETY: given by the end of a capture, destroyed once.
        let _ = unsafe { graph::destroy(self.0) };
    }
}
