//! Launches measured again and again until their median is steady.

use std::time::Instant;

use samp_runtime::device::gpu::{Driver, DriverError};
use serde::{Deserialize, Serialize};

use crate::gpu::Gpu;

/// Repeated measurements of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Median, in microseconds.
    pub microseconds: f64,
    /// Distance of the quartiles as a share of the median.
    pub spread: f64,
    /// How often it was measured.
    pub repeats: usize,
}

impl Timing {
    fn from_samples(mut nanoseconds: Vec<f64>, launches: usize) -> Timing {
        nanoseconds.sort_by(f64::total_cmp);
        let at = |share: f64| nanoseconds[((nanoseconds.len() - 1) as f64 * share).round() as usize];
        let median = at(0.5);
        Timing {
            microseconds: median / launches as f64 / 1e3,
            spread: (at(0.75) - at(0.25)) / median,
            repeats: nanoseconds.len(),
        }
    }
}

/// Measurements are repeated until they took so long together, within these numbers.
const ENOUGH_NS: f64 = 10e6;
const REPEATS: (usize, usize) = (5, 41);
/// Times of an emulator say nothing.
const EMULATED_REPEATS: (usize, usize) = (1, 1);

impl<D: Driver> Gpu<'_, D> {
    /// Measures one of `launches` launches that `work` makes when asked for each by number: recorded once, replayed once to
    /// warm up, then replayed and timed repeatedly.
    pub fn measure(
        &self,
        launches: usize,
        work: &mut dyn FnMut(usize) -> Result<(), DriverError>,
    ) -> Result<Timing, DriverError> {
        let mut all = || (0..launches).try_for_each(&mut *work);
        // Code is loaded and scratch memory taken when a kernel first runs, which cannot be recorded.
        all()?;
        let graph = self.driver.record(&mut all)?;
        self.repeat(launches, || self.clock.time(&mut || self.driver.replay(&graph)))
    }

    /// Measures `work` that ends in waiting for the GPU, as its caller sees it: twice to warm up, since the device records
    /// its launches the second time, then repeatedly.
    pub fn measure_waiting<E>(&self, work: &mut dyn FnMut() -> Result<(), E>) -> Result<Timing, E> {
        (0..2).try_for_each(|_| work())?;
        self.repeat(1, || {
            let start = Instant::now();
            work()?;
            Ok(start.elapsed().as_nanos() as f64)
        })
    }

    /// Takes the nanoseconds of `launches` launches, the first time only to see how often is enough.
    fn repeat<E>(&self, launches: usize, mut once: impl FnMut() -> Result<f64, E>) -> Result<Timing, E> {
        let first = once()?;
        let (least, most) = if self.is_emulated() { EMULATED_REPEATS } else { REPEATS };
        let repeats = ((ENOUGH_NS / first) as usize).clamp(least, most);
        let times = (0..repeats).map(|_| once()).collect::<Result<_, _>>()?;
        Ok(Timing::from_samples(times, launches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_quartiles_count() {
        let timing = Timing::from_samples(vec![9e3, 1e3, 2e3, 3e3, 4e3], 2);
        assert_eq!(timing, Timing { microseconds: 1.5, spread: 2.0 / 3.0, repeats: 5 });
    }
}
