//! Scales: from values to places on a chart, and the values worth a tick.

/// A logarithmic scale.
#[derive(Clone, Copy, Debug)]
pub struct LogScale {
    least: f64,
    most: f64,
    /// Where `least` stands.
    start: f64,
    /// Where `most` stands.
    end: f64,
}

impl LogScale {
    /// A scale over positive values; the least stands at `start`, the largest at `end`. `None` without any.
    pub fn over(values: impl IntoIterator<Item = f64>, start: f64, end: f64) -> Option<LogScale> {
        let positive = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (least, most) = positive.fold((f64::INFINITY, 0.0), |(a, b), v| (v.min(a), v.max(b)));
        (most > 0.0).then_some(LogScale { least, most, start, end })
    }

    /// The same scale, widened to powers of ten.
    pub fn to_decades(self) -> LogScale {
        let (least, most) = (decade(self.least), decade(self.most));
        let most = if 10f64.powi(most) < self.most || most == least { most + 1 } else { most };
        LogScale { least: 10f64.powi(least), most: 10f64.powi(most), ..self }
    }

    /// The same scale with room on both sides.
    pub fn widened(self, factor: f64) -> LogScale {
        LogScale { least: self.least / factor, most: self.most * factor, ..self }
    }

    /// The place of a value; what lies outside stands at the nearer end.
    pub fn at(self, value: f64) -> f64 {
        self.start + (self.end - self.start) * self.share(value)
    }

    /// How far along a value stands, from 0 to 1; of a single value, 0.
    pub fn share(self, value: f64) -> f64 {
        let span = self.span();
        if value <= self.least || span == 0.0 {
            return 0.0;
        }
        ((value.ln() - self.least.ln()) / span).min(1.0)
    }

    /// The value at a share of the way.
    pub fn value(self, share: f64) -> f64 {
        self.least * (self.span() * share).exp()
    }

    /// From the least to the largest value in logarithms, whose difference is finite where a quotient is not.
    fn span(self) -> f64 {
        self.most.ln() - self.least.ln()
    }

    /// The powers of ten within.
    pub fn decades(self) -> Vec<i32> {
        (decade(self.least)..=decade(self.most)).filter(|&d| self.holds(10f64.powi(d))).collect()
    }

    /// Whether a value lies within.
    pub fn holds(self, value: f64) -> bool {
        (self.least..=self.most).contains(&value)
    }
}

/// The exponent of the power of ten at or below a positive value.
fn decade(value: f64) -> i32 {
    let guess = value.log10().floor() as i32;
    // The logarithm of a power of ten may come out a hair below a whole number.
    if 10f64.powi(guess + 1) <= value { guess + 1 } else { guess }
}

#[cfg(test)]
mod tests {
    use super::{LogScale, decade};

    #[test]
    fn values_stand_in_proportion_to_their_logarithms() {
        let scale = LogScale::over([1e-4, 1e-2, 0.0, f64::NAN, -1.0], 100.0, 0.0).unwrap();
        assert_eq!(scale.at(1e-4), 100.0);
        assert!((scale.at(1e-3) - 50.0).abs() < 1e-9);
        assert_eq!(scale.at(1e-2), 0.0);
        assert_eq!((scale.at(1.0), scale.at(0.0)), (0.0, 100.0), "outside is at the nearer end");
        assert!((scale.value(0.5) - 1e-3).abs() < 1e-12);
    }

    #[test]
    fn decades_enclose_the_values() {
        let scale = LogScale::over([3e-5, 2e-3], 0.0, 1.0).unwrap().to_decades();
        assert_eq!(scale.decades(), [-5, -4, -3, -2]);
        let single = LogScale::over([1e-3], 0.0, 1.0).unwrap().to_decades();
        assert_eq!(single.decades(), [-3, -2], "one value still has an axis");
        assert!(LogScale::over([0.0, -1.0], 0.0, 1.0).is_none());
    }

    #[test]
    fn a_power_of_ten_is_its_own_decade() {
        for exponent in -20..20 {
            assert_eq!(decade(10f64.powi(exponent)), exponent);
        }
    }

    #[test]
    fn a_scale_of_one_value_places_it_at_the_start() {
        let scale = LogScale::over([2.0, 2.0], 10.0, 20.0).unwrap();
        assert_eq!(scale.at(2.0), 10.0);
        assert!(scale.holds(2.0) && !scale.holds(2.1));
    }
}
