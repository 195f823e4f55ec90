//! Marks in the stream of work.

use std::sync::Arc;

use cudarc::driver::{
    result::event,
    sys::{CUevent, CUevent_flags},
};

use super::{super::DriverError, context::Context, error::Answered};

/// A mark that is reached when all work before it is done.
pub struct Event {
    context: Arc<Context>,
    event: CUevent,
}

// SAFETY: the handle is a name that the driver takes on any thread.
unsafe impl Send for Event {}

impl Event {
    /// One that keeps the time when it is reached.
    pub(super) fn timed(context: &Arc<Context>) -> Result<Event, DriverError> {
        Event::new(context, CUevent_flags::CU_EVENT_DEFAULT)
    }

    /// One that is only waited for, which is cheaper.
    pub(super) fn untimed(context: &Arc<Context>) -> Result<Event, DriverError> {
        Event::new(context, CUevent_flags::CU_EVENT_DISABLE_TIMING)
    }

    fn new(context: &Arc<Context>, flags: CUevent_flags) -> Result<Event, DriverError> {
        context.enter()?;
        Ok(Event { context: context.clone(), event: event::create(flags).during("making an event")? })
    }

    /// Puts it, or puts it again, behind the work so far.
    pub(super) fn record(&self) -> Result<(), DriverError> {
        let stream = self.context.stream()?;
        // SAFETY: event and stream live, and are of one context.
        unsafe { event::record(self.event, stream) }.during("recording an event")
    }

    /// Waits until it is reached; not at all where it was never recorded.
    pub(super) fn wait(&self) -> Result<(), DriverError> {
        self.context.enter()?;
        // SAFETY: the event lives.
        unsafe { event::synchronize(self.event) }.during("waiting for an event")
    }

    /// Milliseconds from `self` to `end`, after waiting for it. Both must be timed and recorded.
    pub(super) fn elapsed_ms(&self, end: &Event) -> Result<f32, DriverError> {
        end.wait()?;
        // SAFETY: both live, and the context is current.
        unsafe { event::elapsed(self.event, end.event) }.during("reading the time between events")
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // The driver keeps what it needs of an event that is still to be reached.
        if self.context.enter().is_ok() {
            // SAFETY: made by this value, destroyed once.
            let _ = unsafe { event::destroy(self.event) };
        }
    }
}
