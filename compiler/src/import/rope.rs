//! Inverse frequencies of the rotary position embedding, with the scalings that checkpoints use.

use std::f64::consts::TAU;

/// The rotary embedding as `config.json` states it.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// Channels of a head that are turned, the first ones; where the number is odd, one more.
    pub dim: u64,
    /// Base of the geometric series of frequencies.
    pub theta: f64,
    /// How the series is changed for longer contexts.
    pub scaling: RopeScaling,
}

/// A change to the frequencies. Factors are at least 1 and divide frequencies or stretch the base.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// The plain series.
    Default,
    /// Every frequency is divided by `factor` (position interpolation).
    Linear {
        /// The divisor of every frequency.
        factor: f64,
    },
    /// The base grows with the context once that is longer than the model was trained for (NTK-aware).
    Dynamic {
        /// Strength of the growth.
        factor: f64,
    },
    /// Long waves are divided by `factor`, short ones kept, those between interpolated (Llama 3.1).
    Llama3 {
        /// The divisor of long waves.
        factor: f64,
        /// Waves longer than `original_context / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Waves shorter than `original_context / high_freq_factor` are short; above `low_freq_factor`.
        high_freq_factor: f64,
        /// Positions that the model was first trained for.
        original_context: u64,
    },
    /// Frequencies that turn little over the first context are divided by `factor`, those that turn much kept, those between
    /// interpolated by their index (YaRN).
    Yarn {
        /// The divisor of low frequencies.
        factor: f64,
        /// What turned channels are multiplied by.
        attention_factor: f64,
        /// Turns over the first context from which a frequency is kept.
        beta_fast: f64,
        /// Turns over the first context up to which it is divided.
        beta_slow: f64,
        /// Whether the indices between which is interpolated are whole numbers.
        truncate: bool,
        /// Positions that the model was first trained for.
        original_context: u64,
    },
    /// Each frequency is divided by a factor of its own, of one list for contexts as first trained and of another beyond
    /// (LongRoPE).
    LongRope {
        /// Divisors for contexts up to `original_context`.
        short: Vec<f64>,
        /// Divisors for longer ones.
        long: Vec<f64>,
        /// What turned channels are multiplied by.
        attention_factor: f64,
        /// Positions that the model was first trained for.
        original_context: u64,
    },
}

impl RopeConfig {
    /// `dim / 2` frequencies in radians per position: `base^(−2i / dim)` with the scaling applied, as transformers computes
    /// them (`modeling_rope_utils`), here in f64. The [base](RopeConfig::base) depends on `trained_context`, the config's
    /// `max_position_embeddings`, and `context`, the length to serve.
    pub fn inv_frequencies(&self, trained_context: u64, context: u64) -> Vec<f64> {
        let dim = self.dim as f64;
        let base = self.base(trained_context, context);
        let plain = (0..self.dim.div_ceil(2) as usize).map(|i| (i, base.powf(-2.0 * i as f64 / dim)));
        match &self.scaling {
            RopeScaling::Yarn { factor, .. } => {
                let (low, high) = self.yarn_range();
                let divided = |i: usize| ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                let scaled = |(i, f): (usize, f64)| f / factor * divided(i) + f * (1.0 - divided(i));
                plain.map(scaled).collect()
            }
            RopeScaling::LongRope { short, long, original_context, .. } => {
                let factors = if context > *original_context { long } else { short };
                plain.zip(factors).map(|((_, f), factor)| f / factor).collect()
            }
            scaling => plain.map(|(_, frequency)| scaling.apply(frequency)).collect(),
        }
    }

    /// The base of the series: `theta`, which [`RopeScaling::Dynamic`] alone stretches where `context` is longer than
    /// `trained_context`.
    pub fn base(&self, trained_context: u64, context: u64) -> f64 {
        let dim = self.dim as f64;
        match self.scaling {
            RopeScaling::Dynamic { factor } if context > trained_context => {
                let stretch = factor * context as f64 / trained_context as f64 - (factor - 1.0);
                self.theta * stretch.powf(dim / (dim - 2.0))
            }
            _ => self.theta,
        }
    }

    /// Channels that are turned of a head of so many, if not all.
    pub fn rotary_dim(&self, head_dim: u64) -> Option<u64> {
        Some(self.dim.next_multiple_of(2)).filter(|&turned| turned != head_dim)
    }

    /// What turned channels are multiplied by.
    pub fn scale(&self) -> f64 {
        match self.scaling {
            RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => {
                attention_factor
            }
            _ => 1.0,
        }
    }

    /// The indices of frequencies between which [`RopeScaling::Yarn`] interpolates.
    fn yarn_range(&self) -> (f64, f64) {
        let RopeScaling::Yarn { beta_fast, beta_slow, truncate, original_context, .. } = self.scaling else {
            unreachable!("called for YaRN");
        };
        let dim = self.dim as f64;
        let index =
            |turns: f64| dim * (original_context as f64 / (turns * TAU)).ln() / (2.0 * self.theta.ln());
        let (mut low, mut high) = (index(beta_fast), index(beta_slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dim - 1.0));
        // A step where both are one.
        (low, if low == high { high + 0.001 } else { high })
    }
}

impl RopeScaling {
    fn apply(&self, frequency: f64) -> f64 {
        match *self {
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let turns = original_context as f64 * frequency / TAU;
                let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                (1.0 - kept) * frequency / factor + kept * frequency
            }
            _ => frequency,
        }
    }
}
