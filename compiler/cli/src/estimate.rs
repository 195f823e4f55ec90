//! How far work is, and how long the rest will take if it goes on as it went.

use std::time::Duration;

/// Work that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Units that are done.
    pub done: u64,
    /// Units in all; 0 where their number is not known.
    pub total: u64,
    /// Since the work began.
    pub elapsed: Duration,
}

impl Estimate {
    /// Percentage that is done, rounded down; 0 where it is not known.
    pub fn percent(self) -> u64 {
        let done = u128::from(self.done.min(self.total)) * 100;
        done.checked_div(self.total.into()).unwrap_or(0) as u64
    }

    /// What the rest takes at the mean speed so far; `None` while nothing is done, or where the total is not known.
    pub fn left(self) -> Option<Duration> {
        let rest = self.total.checked_sub(self.done).filter(|_| self.done > 0)?;
        Some(self.elapsed.mul_f64(rest as f64 / self.done as f64))
    }
}

/// A duration in at most two units, such as `42 s`, `3 min 5 s` or `2 h 7 min`.
pub fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{hours} h {} min", minutes % 60),
    }
}

/// A duration that is an estimate, in one unit and two figures: `40 s`, `30 min`, `2.1 h`.
pub fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..9.5 => format!("{} s", seconds.ceil()),
        ..57.5 => format!("{} s", (seconds / 5.0).round() * 5.0),
        ..3570.0 => format!("{} min", (seconds / 60.0).round()),
        ..34_200.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.0} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(done: u64, total: u64, seconds: u64) -> Estimate {
        Estimate { done, total, elapsed: Duration::from_secs(seconds) }
    }

    #[test]
    fn the_rest_takes_as_long_as_what_is_done_did() {
        assert_eq!(after(25, 100, 10).left(), Some(Duration::from_secs(30)));
        assert_eq!(after(100, 100, 10).left(), Some(Duration::ZERO));
        assert_eq!(after(0, 100, 10).left(), None, "nothing tells the speed yet");
        assert_eq!(after(5, 0, 10).left(), None, "nobody knows how much there is");
        assert_eq!(after(u64::MAX - 1, u64::MAX, 10).percent(), 99);
        assert_eq!(
            [after(25, 100, 1).percent(), after(7, 5, 1).percent(), after(7, 0, 1).percent()],
            [25, 100, 0]
        );
    }

    #[test]
    fn durations_are_shown_in_two_units() {
        let times = [0, 59, 60, 185, 3599, 3600, 7_620, 360_000].map(|s| shown(Duration::from_secs(s)));
        assert_eq!(
            times,
            ["0 s", "59 s", "1 min 0 s", "3 min 5 s", "59 min 59 s", "1 h 0 min", "2 h 7 min", "100 h 0 min"]
        );
    }

    #[test]
    fn estimates_are_shown_in_two_figures() {
        let times = [0.2, 7.1, 9.6, 42.0, 58.0, 95.0, 1813.0, 3575.0, 7620.0, 360_000.0];
        let times = times.map(|s| roughly(Duration::from_secs_f64(s)));
        assert_eq!(
            times,
            ["1 s", "8 s", "10 s", "40 s", "1 min", "2 min", "30 min", "1.0 h", "2.1 h", "100 h"]
        );
    }
}
