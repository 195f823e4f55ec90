//! Progress where nobody watches a terminal: a line at the beginning of each stage, and few others.

use std::time::Duration;

use crate::estimate::{Estimate, shown};

/// No two lines of a stage are closer.
const QUIET: Duration = Duration::from_secs(10);
/// After this time a line is said however little was done.
const LONG: Duration = Duration::from_secs(60);
/// Before that time a line tells of at least so many percent more.
const STEP: u64 = 10;

/// The stage under way; times count from any fixed moment.
#[derive(Debug, Default)]
pub struct ProgressLines {
    stage: String,
    total: u64,
    done: u64,
    began: Duration,
    /// When the last line was said, and at what percentage.
    said: (Duration, u64),
}

impl ProgressLines {
    /// A stage of so many units begins `now`: the line that says so.
    pub fn begin(&mut self, stage: &str, units: u64, now: Duration) -> String {
        let stage = stage.to_owned();
        *self = ProgressLines { stage, total: units, done: 0, began: now, said: (now, 0) };
        self.stage.clone()
    }

    /// So many more units are done `now`: a line, if it is time for one.
    pub fn advance(&mut self, item: &str, units: u64, now: Duration) -> Option<String> {
        self.done += units;
        let at = Estimate { done: self.done, total: self.total, elapsed: now.saturating_sub(self.began) };
        let (since, further) = (now.saturating_sub(self.said.0), at.percent() >= self.said.1 + STEP);
        if since < QUIET || (since < LONG && !further) {
            return None;
        }
        self.said = (now, at.percent());
        let left = at.left().map_or(String::new(), |left| format!(", about {} left", shown(left)));
        let item = if item.is_empty() { String::new() } else { format!(": {item}") };
        let share = if self.total > 0 { format!("{} % after ", at.percent()) } else { String::new() };
        Some(format!("{}: {share}{}{left}{item}", self.stage, shown(at.elapsed)))
    }

    /// The stage is over `now`: how long it took, if that was long.
    pub fn end(&mut self, now: Duration) -> Option<String> {
        let elapsed = now.saturating_sub(self.began);
        let stage = std::mem::take(&mut self.stage);
        (!stage.is_empty() && elapsed >= QUIET).then(|| format!("{stage}: done after {}", shown(elapsed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(total: u64, step: Duration) -> Vec<String> {
        let (mut progress, mut now) = (ProgressLines::default(), Duration::from_secs(7));
        let mut said = vec![progress.begin("measuring", total, now)];
        for unit in 0..total {
            now += step;
            said.extend(progress.advance(&format!("w{unit}"), 1, now));
        }
        said.extend(progress.end(now));
        said
    }

    #[test]
    fn short_work_says_only_what_it_is() {
        assert_eq!(lines(1000, Duration::from_millis(9)), ["measuring"]);
    }

    #[test]
    fn work_of_minutes_says_every_tenth() {
        let said = lines(100, Duration::from_secs(2));
        assert_eq!(said.len(), 12, "{said:?}");
        assert_eq!(said[1], "measuring: 10 % after 20 s, about 3 min 0 s left: w9");
        assert_eq!(said[11], "measuring: done after 3 min 20 s");
    }

    #[test]
    fn work_of_hours_says_something_every_minute_and_never_more_often_than_each_ten_seconds() {
        assert_eq!(lines(1000, Duration::from_secs(20)).len(), 2 + 1000 / 3);
        assert_eq!(lines(12, Duration::from_secs(5)).len(), 2 + 6);
    }

    #[test]
    fn work_of_unknown_length_says_how_long_it_goes_on() {
        let mut progress = ProgressLines::default();
        progress.begin("loading", 0, Duration::ZERO);
        let said = progress.advance("", 1, Duration::from_secs(61));
        assert_eq!(said.unwrap(), "loading: 1 min 1 s");
    }
}
