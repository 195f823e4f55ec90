//! Quantities in words and in the units that people use.

use super::{Problem, Quantity};

impl Quantity {
    /// What a person calls it, e.g. `decode latency at batch 8`.
    pub(super) fn label(self, problem: &Problem) -> String {
        match self {
            Quantity::WeightBytes => "weights".into(),
            Quantity::DeviceBytes => "device memory".into(),
            Quantity::AverageBits => "average bits".into(),
            Quantity::Loss => "loss".into(),
            Quantity::StratumLoss(s) => format!("loss on {}", problem.strata[s].name),
            Quantity::Decode(b) => format!("decode latency at batch {}", problem.batches[b]),
            Quantity::Prefill => "prefill latency".into(),
        }
    }

    /// A value with its unit, e.g. `45.37 GB`.
    pub fn show(self, value: f64) -> String {
        let (divisor, unit) = self.unit(value);
        format!("{} {unit}", short(value / divisor))
    }

    /// The amount that a shadow price is quoted for: a round number of a unit at the scale of the limit.
    pub(super) fn step(self, limit: f64) -> f64 {
        match self {
            Quantity::Loss | Quantity::StratumLoss(_) => decade(limit),
            Quantity::AverageBits => 0.1,
            _ => self.unit(limit).0,
        }
    }

    fn unit(self, value: f64) -> (f64, &'static str) {
        let scale: &[(f64, &str)] = match self {
            Quantity::WeightBytes | Quantity::DeviceBytes => &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
            Quantity::AverageBits => &[(1.0, "bits")],
            Quantity::Loss | Quantity::StratumLoss(_) => &[(1.0, "nats")],
            Quantity::Decode(_) | Quantity::Prefill => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
        };
        let last = scale[scale.len() - 1];
        scale.iter().copied().find(|(divisor, _)| value.abs() >= *divisor).unwrap_or(last)
    }
}

/// The power of ten at or below a tenth of the value.
fn decade(value: f64) -> f64 {
    if value == 0.0 { 1e-3 } else { 10f64.powf(value.abs().log10().floor() - 1.0) }
}

/// At most four significant digits, exponent form only for the very small, and a true minus sign.
fn short(x: f64) -> String {
    let magnitude = if x == 0.0 { 0 } else { x.abs().log10().floor() as i32 };
    let digits = (3 - magnitude).clamp(0, 9) as usize;
    let text = if x != 0.0 && magnitude < -6 { format!("{x:.2e}") } else { trimmed(&format!("{x:.digits$}")) };
    text.replace('-', "−")
}

fn trimmed(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text.into() }
}
