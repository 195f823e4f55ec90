//! GPUs: the driver that does what is asked, and the device that asks as the plan says.

mod chosen;
mod contents;
mod device;
mod driver;
#[cfg(feature = "emulate")]
mod emulate;
mod inputs;
mod launch;
mod padding;
#[cfg(feature = "emulate")]
mod recorded;
mod scratch;
mod weights;

pub use contents::{Contents, Range, Stored};
pub use device::GpuDevice;
pub use driver::{Arg, Driver, DriverError};
#[cfg(feature = "emulate")]
pub use emulate::Emulated;
#[cfg(feature = "emulate")]
pub(super) use emulate::load as load_emulated;
pub(super) use padding::spare_pages;

/// Memory of a GPU that is kept for what is neither weights, activations nor cache: code, partial sums, recorded launches, the
/// driver's own.
pub const RESERVED_BYTES: u64 = 512 << 20;
