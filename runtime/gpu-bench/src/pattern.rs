//! Random bits that are valid values of a format.

use samp_abi::{Component, ElementType, Format};

/// Which bits of each random word are kept, and which are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub(crate) keep: u32,
    pub(crate) set: u32,
}

impl Pattern {
    /// Any bits: codes of four bits, and random numbers.
    pub const CODES: Pattern = Pattern { keep: !0, set: 0 };
    /// f16 of either sign below 2^-7: weights.
    const SMALL_HALVES: Pattern = Pattern { keep: 0x9fff_9fff, set: 0 };
    /// f16 of either sign below 2: activations, keys and values.
    pub const HALVES: Pattern = Pattern { keep: 0xbfff_bfff, set: 0 };
    /// E4M3 of either sign below 2.
    pub const FP8: Pattern = Pattern { keep: 0xbfbf_bfbf, set: 0 };
    /// f32 from 2^-10 to 2^-9: scales.
    pub const SCALES: Pattern = Pattern { keep: 0x007f_ffff, set: 0x3a80_0000 };
    /// bf16 of either sign from 1 to 2: activations.
    pub const BF16: Pattern = Pattern { keep: 0x807f_807f, set: 0x3f80_3f80 };
    /// bf16 of either sign from 2^-7 to 2^-6: weights.
    const SMALL_BF16: Pattern = Pattern { keep: 0x807f_807f, set: 0x3c00_3c00 };
    /// f32 from 1 to 2: weights of norms, and rows.
    pub const AROUND_ONE: Pattern = Pattern { keep: 0x007f_ffff, set: 0x3f80_0000 };
    /// f16 from 2^-10 to 2^-9: scales of groups.
    const HALF_SCALES: Pattern = Pattern { keep: 0x03ff_03ff, set: 0x1400_1400 };
    /// Four bits to a byte: zero points.
    const ZERO_POINTS: Pattern = Pattern { keep: 0x0f0f_0f0f, set: 0 };
    /// Odd bytes: int8 without −128.
    const INT8: Pattern = Pattern { keep: !0, set: 0x0101_0101 };

    /// Valid values of one array of a weight; of f32 are norms'.
    pub(crate) fn for_component(format: Format, component: Component, dtype: ElementType) -> Pattern {
        match (component, format) {
            (Component::Values, Format::F32) => Pattern::AROUND_ONE,
            (Component::Values, Format::F16) => Pattern::SMALL_HALVES,
            (Component::Values, Format::Bf16) => Pattern::SMALL_BF16,
            (Component::Values, Format::Fp8E4m3(_)) => Pattern::FP8,
            (Component::Values, Format::Int8 { .. }) => Pattern::INT8,
            (Component::ZeroPoints, _) => Pattern::ZERO_POINTS,
            (Component::Values | Component::AbsmaxCodes, _) => Pattern::CODES,
            _ if dtype == ElementType::F16 => Pattern::HALF_SCALES,
            _ => Pattern::SCALES,
        }
    }
}
