//! Devices: what holds a plan's weights, activations and cache, and executes its steps.
//!
//! A device is handed a batch that the engine has checked, and does what the plan says; it decides nothing.

mod bind;
mod buffers;
mod error;
mod executable;
pub mod gpu;
mod host;
mod kind;
mod large_pages;
mod open;
mod replay;
mod step;
mod threaded;

pub use buffers::BufferView;
pub use error::DeviceError;
pub use executable::{Executable, Weights};
pub use kind::{DeviceKind, ParseDeviceError};
pub use open::OpenDevice;
pub use replay::Replay;
pub use step::{Batch, Device, Observer};
