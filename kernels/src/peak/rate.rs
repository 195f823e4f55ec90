//! What is done in a second.

use std::time::{Duration, Instant};

/// How long a rate is measured for at least: many times what a thread takes to wake up.
const MEASURED: Duration = Duration::from_millis(200);

/// What `work`, done again and again, comes to in a second, if once is `amount` of it. The first time does not count: it wakes
/// the threads and raises the clock.
pub(super) fn rate(amount: f64, mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut done) = (Instant::now(), 0.0);
    while start.elapsed() < MEASURED {
        work();
        done += amount;
    }
    done / start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_is_done_in_a_second() {
        let mut calls = 0;
        let found = rate(3.0, || {
            calls += 1;
            std::thread::sleep(Duration::from_millis(10));
        });
        // The last call may end after the time that is measured, and sleeping takes longer than asked for on a busy machine.
        assert!(found <= 300.0 && found > 30.0 && calls >= 3, "{found} in {calls} calls");
    }
}
