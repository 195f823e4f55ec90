//! GPUs: the driver that does what is asked, and the device that asks as the plan says.

mod driver;

pub use driver::{Arg, Driver, DriverError};
