//! Numbers in the units that people use.

/// What the numbers of a resource count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes; shown in decimal multiples.
    Bytes,
    /// Bits per weight.
    Bits,
    /// Nanoseconds; shown at the scale of the value.
    Nanos,
    /// Nats per token.
    Nats,
}

impl Unit {
    /// A value with its unit at its own scale, e.g. `45.37 GB`.
    pub fn show(self, value: f64) -> String {
        let (divisor, unit) = self.scale(value);
        format!("{} {unit}", short(value / divisor))
    }

    /// The amount that a price is quoted for: a round number at the scale of `value`.
    pub(super) fn step(self, value: f64) -> f64 {
        match self {
            Unit::Bits => 0.1,
            Unit::Nats if value == 0.0 => 1e-3,
            Unit::Nats => 10f64.powf(value.abs().log10().floor() - 1.0),
            Unit::Bytes | Unit::Nanos => self.scale(value).0,
        }
    }

    fn scale(self, value: f64) -> (f64, &'static str) {
        let scales: &[(f64, &str)] = match self {
            Unit::Bytes => &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
            Unit::Bits => &[(1.0, "bits")],
            Unit::Nanos => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
            Unit::Nats => &[(1.0, "nats")],
        };
        let last = scales[scales.len() - 1];
        scales.iter().copied().find(|(divisor, _)| value.abs() >= *divisor).unwrap_or(last)
    }
}

/// Four significant digits, without trailing zeros, exponent form for the very small, and a true minus sign.
fn short(x: f64) -> String {
    let magnitude = if x == 0.0 { 0 } else { x.abs().log10().floor() as i32 };
    if magnitude < -6 {
        return format!("{x:.3e}").replace('-', "−");
    }
    let digits = (3 - magnitude).clamp(0, 9) as usize;
    let text = format!("{x:.digits$}").replace('-', "−");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn values_are_shown_at_their_own_scale() {
        assert_eq!(Unit::Bytes.show(45.372e9), "45.37 GB");
        assert_eq!(Unit::Bytes.show(999.0), "999 B");
        assert_eq!(Unit::Nanos.show(12_345_678.0), "12.35 ms");
        assert_eq!(Unit::Nats.show(-0.0004), "−0.0004 nats");
        assert_eq!(Unit::Nats.show(1.234_6e-8), "1.235e−8 nats");
        assert_eq!(Unit::Bits.show(0.0), "0 bits");
    }
}
