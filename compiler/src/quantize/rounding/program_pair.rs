//! A program before and after rounding.

use crate::quantize::forward::Forward;

/// The unquantized program, and the same program whose weights are rounded one after another.
pub(crate) struct ProgramPair {
    /// With the original weights.
    pub original: Forward,
    /// With what rounding made of them so far.
    pub rounded: Forward,
}
