//! GPUs: the driver that does what is asked, and the device that asks as the plan says.

mod device;
pub mod driver;
mod inputs;
mod launch;
mod padding;
mod plan_source;
mod room;
mod sampled_tokens;
mod scratch;
mod step_shape;
mod weights;

pub use device::GpuDevice;
#[cfg(feature = "emulate")]
pub use driver::emulated::Emulated;
pub use driver::{Arg, Driver, DriverError};
pub use plan_source::{PlanSource, Range, StoredPlan};
pub use room::{RESERVED_BYTES, Room};
