//! GPUs: the driver that does what is asked, and the device that asks as the plan says.

mod device;
pub mod driver;
mod inputs;
mod launch;
mod padding;
mod plan_source;
mod sampled_tokens;
mod scratch;
mod weights;

pub use device::GpuDevice;
#[cfg(feature = "emulate")]
pub use driver::emulated::Emulated;
#[cfg(feature = "emulate")]
pub(super) use driver::emulated::load as load_emulated;
pub use driver::{Arg, Driver, DriverError};
pub(super) use padding::spare_pages;
pub use plan_source::{PlanSource, Range, Stored};

/// Memory of a GPU that is kept for what is neither weights, activations nor cache: code, partial sums, recorded launches, the
/// driver's own.
pub const RESERVED_BYTES: u64 = 512 << 20;
