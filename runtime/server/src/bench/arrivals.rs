//! When requests are to be sent.

use samp_kernels::random::SplitMix64;

/// Seconds after the start of so many requests at a rate: intervals are drawn from a gamma distribution of this shape and then
/// stretched so that the last comes when the rate says, as vLLM does.
pub fn arrivals(count: usize, rate: f64, shape: f64, seed: u64) -> Vec<f64> {
    let mut random = SplitMix64::new(seed);
    let mut at = 0.0;
    let sums: Vec<f64> = (0..count)
        .map(|_| {
            at += gamma(shape, &mut random);
            at
        })
        .collect();
    let stretch = count as f64 / rate / at.max(f64::MIN_POSITIVE);
    sums.into_iter().map(|sum| sum * stretch).collect()
}

/// A number from 0 to 1, neither of them.
fn uniform(random: &mut SplitMix64) -> f64 {
    ((random.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

fn normal(random: &mut SplitMix64) -> f64 {
    (-2.0 * uniform(random).ln()).sqrt() * (std::f64::consts::TAU * uniform(random)).cos()
}

/// A draw from the gamma distribution of a shape and scale 1 (Marsaglia and Tsang 2000).
fn gamma(shape: f64, random: &mut SplitMix64) -> f64 {
    if shape < 1.0 {
        let boost = uniform(random).powf(1.0 / shape);
        return gamma(shape + 1.0, random) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && uniform(random).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_bursts_are_uneven() {
        let spread = |shape: f64| {
            let times = arrivals(4000, 20.0, shape, 7);
            assert!((times.last().unwrap() - 200.0).abs() < 1e-9 && times.is_sorted());
            let intervals: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
            let variance = intervals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / intervals.len() as f64;
            variance.sqrt() / mean
        };
        // The deviation of a gamma distribution is its mean over the root of its shape.
        for shape in [0.25, 1.0, 4.0] {
            assert!((spread(shape) * f64::sqrt(shape) - 1.0).abs() < 0.1, "{shape}: {}", spread(shape));
        }
    }
}
