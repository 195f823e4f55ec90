//! The reference: the plain loops that define each kernel. Slow, and right by reading.

use std::sync::Arc;

use super::{Device, DeviceError, Executable, bind::Side, host::HostDevice};
use crate::plan::OpenPlan;

pub(super) fn load(plan: Arc<OpenPlan>, kv_pages: u32) -> Result<Box<dyn Device>, DeviceError> {
    Ok(Box::new(HostDevice::load(Executable::of(&plan), plan, kv_pages, Side::Reference)?))
}
