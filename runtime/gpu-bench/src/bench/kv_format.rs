//! How a bench keeps keys and values.

use samp_abi::{Format, ScaleAxis};

use crate::pattern::Pattern;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KvFormat {
    /// IEEE binary16, without scales.
    F16,
    /// E4M3 with scales of 1.
    Fp8,
}

impl KvFormat {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        if self == KvFormat::F16 { "f16" } else { "fp8" }
    }

    /// The format of keys and values.
    pub fn format(self) -> Format {
        if self == KvFormat::F16 { Format::F16 } else { Format::Fp8E4m3(ScaleAxis::Tensor) }
    }

    /// Valid keys and values.
    pub fn pattern(self) -> Pattern {
        if self == KvFormat::F16 { Pattern::HALVES } else { Pattern::FP8 }
    }
}
