//! How long work takes on a GPU.

use std::time::Instant;

use samp_runtime::device::gpu::{Driver, DriverError};

/// Work that is asked of a driver.
pub type Work<'a> = dyn FnMut() -> Result<(), DriverError> + 'a;

/// Tells how long work takes.
pub trait Clock {
    /// Asks for the work, waits until it is done, and returns nanoseconds from its beginning to its end.
    fn time(&self, work: &mut Work<'_>) -> Result<f64, DriverError>;
}

/// The host's clock: counts in what asking and waiting take.
pub struct HostClock<'a, D>(pub &'a D);

impl<D: Driver> Clock for HostClock<'_, D> {
    fn time(&self, work: &mut Work<'_>) -> Result<f64, DriverError> {
        self.0.synchronize()?;
        let start = Instant::now();
        work()?;
        self.0.synchronize()?;
        Ok(start.elapsed().as_nanos() as f64)
    }
}
