//! Inverse frequencies of the rotary position embedding, with the scalings that Llama checkpoints use.

use std::f64::consts::TAU;

/// The rotary embedding as `config.json` states it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeConfig {
    /// Base of the geometric series of frequencies.
    pub theta: f64,
    /// How the series is changed for longer contexts.
    pub scaling: RopeScaling,
}

/// A change to the frequencies. Factors are at least 1 and divide frequencies or stretch the base.
#[derive(Clone, Copy, Debug, PartialEq)]
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
}

impl RopeConfig {
    /// `head_dim / 2` frequencies in radians per position: `base^(−2i / head_dim)` with the scaling applied, as
    /// transformers computes them (`modeling_rope_utils`), here in f64. The [base](RopeConfig::base) depends on
    /// `trained_context`, the config's `max_position_embeddings`, and `context`, the length to serve.
    pub fn inv_frequencies(&self, head_dim: u64, trained_context: u64, context: u64) -> Vec<f64> {
        let dim = head_dim as f64;
        let base = self.base(head_dim, trained_context, context);
        (0..head_dim / 2).map(|i| self.scaling.apply(base.powf(-2.0 * i as f64 / dim))).collect()
    }

    /// The base of the series: `theta`, which [`RopeScaling::Dynamic`] alone stretches where `context` is longer than
    /// `trained_context`.
    pub fn base(&self, head_dim: u64, trained_context: u64, context: u64) -> f64 {
        let dim = head_dim as f64;
        match self.scaling {
            RopeScaling::Dynamic { factor } if context > trained_context => {
                let stretch = factor * context as f64 / trained_context as f64 - (factor - 1.0);
                self.theta * stretch.powf(dim / (dim - 2.0))
            }
            _ => self.theta,
        }
    }
}

impl RopeScaling {
    fn apply(self, frequency: f64) -> f64 {
        match self {
            RopeScaling::Default | RopeScaling::Dynamic { .. } => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let turns = original_context as f64 * frequency / TAU;
                let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                (1.0 - kept) * frequency / factor + kept * frequency
            }
        }
    }
}
