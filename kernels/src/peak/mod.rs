//! What this machine can do at most, measured: reading memory, and the arithmetic of each of its units. What kernels reach is
//! compared with these, measured in the same run on the same threads.

mod arithmetic;
mod memory;
mod rate;

pub use arithmetic::{ArithmeticUnit, UNITS};
pub use memory::read_rate;
