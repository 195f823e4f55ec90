//! Vectors of eight f64 lanes, which take as many registers as the sixteen f32 lanes of [`super::Lanes`].

/// Lanes of a vector of f64.
pub(crate) const F64_LANES: usize = 8;

/// Eight-lane f64 arithmetic, for whatever runs [`super::Lanes`]. A value of the implementing type proves that the
/// machine has the instructions.
pub(crate) trait F64x8: Copy {
    /// A vector of eight f64.
    type D: Copy;

    /// The same value in each lane.
    fn splat_f64(self, x: f64) -> Self::D;
    /// Reads eight values.
    fn load_f64(self, from: &[f64; F64_LANES]) -> Self::D;
    /// Writes eight values.
    fn store_f64(self, v: Self::D, to: &mut [f64; F64_LANES]);
    /// `a · b + c`, rounded once.
    fn mul_add_f64(self, a: Self::D, b: Self::D, c: Self::D) -> Self::D;
}
