//! Repeated measurements of one thing.

use serde::Serialize;

/// What repeated measurements gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Spread {
    /// The one in the middle, or the mean of the two there.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

impl Spread {
    /// Of measurements; `None` without any.
    pub(super) fn of(measured: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut measured: Vec<f64> = measured.into_iter().collect();
        measured.sort_by(f64::total_cmp);
        let (&low, &high) = (measured.first()?, measured.last()?);
        let count = measured.len();
        Some(Spread { median: f64::midpoint(measured[(count - 1) / 2], measured[count / 2]), low, high })
    }

    /// The same of measurements that may not have been possible; `None` where one was not.
    pub(super) fn of_all(measured: impl IntoIterator<Item = Option<f64>>) -> Option<Spread> {
        Spread::of(measured.into_iter().collect::<Option<Vec<f64>>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_the_least_and_the_largest_count() {
        let spread = |measured: &[f64]| Spread::of(measured.iter().copied());
        assert_eq!(spread(&[3.0, 9.0, 1.0]), Some(Spread { median: 3.0, low: 1.0, high: 9.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 8.0]), Some(Spread { median: 3.0, low: 1.0, high: 8.0 }));
        assert_eq!(spread(&[2.0]), Some(Spread { median: 2.0, low: 2.0, high: 2.0 }));
        assert_eq!(spread(&[]), None);
        assert_eq!(Spread::of_all([Some(1.0), None]), None);
        assert_eq!(Spread::of_all([Some(1.0)]), spread(&[1.0]));
    }
}
