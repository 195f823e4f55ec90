//! What is measured, and how thoroughly.

use samp_abi::Format;
use samp_passes::Rounding;

/// How thorough a measurement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SensitivityMode {
    /// One pass forward and one back over the tokens: a second-order model of the divergence.
    Fisher,
    /// One divergence for each weight, and how the members of a fused linear share it; other formats follow by their output
    /// errors.
    Fast,
    /// A divergence for each weight and format, and how members share each.
    Exact,
}

impl SensitivityMode {
    /// Predictions that tell a divergence, at least so many.
    fn divergence_tokens(self) -> usize {
        match self {
            SensitivityMode::Fisher => 2048,
            SensitivityMode::Fast => 4096,
            SensitivityMode::Exact => 8192,
        }
    }

    /// Tokens behind a Hessian and so behind an output error, at least so many.
    fn hessian_tokens(self) -> usize {
        match self {
            SensitivityMode::Fisher => 8192,
            SensitivityMode::Fast => 16_384,
            SensitivityMode::Exact => usize::MAX,
        }
    }

    /// Tokens that the final weights are rounded under, at least so many.
    pub(crate) fn rounding_tokens(self) -> usize {
        match self {
            SensitivityMode::Fisher | SensitivityMode::Fast => 32_768,
            SensitivityMode::Exact => usize::MAX,
        }
    }
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct MeasureOptions {
    /// Formats to try on linears whose columns they divide.
    pub formats: Vec<Format>,
    /// How weights are rounded.
    pub rounding: Rounding,
    /// How thorough the measurement is.
    pub mode: SensitivityMode,
    /// Predictions that tell a divergence, at least so many.
    pub divergence_tokens: usize,
    /// Tokens behind an output error, at least so many.
    pub hessian_tokens: usize,
}

impl MeasureOptions {
    /// These formats, measured as thoroughly as `mode` says.
    pub fn new(mode: SensitivityMode, formats: Vec<Format>, rounding: Rounding) -> MeasureOptions {
        MeasureOptions {
            formats,
            rounding,
            mode,
            divergence_tokens: mode.divergence_tokens(),
            hessian_tokens: mode.hessian_tokens(),
        }
    }
}
