//! The CPU: the kernels that the plan names.

use std::sync::Arc;

use samp_abi::TargetName;

use super::{Device, DeviceError, DeviceKind, Executable, bind::Side, host::HostDevice};
use crate::plan::OpenPlan;

pub(super) fn load(plan: Arc<OpenPlan>, kv_pages: u32) -> Result<Box<dyn Device>, DeviceError> {
    match plan.manifest().target {
        TargetName::Cpu => Ok(Box::new(HostDevice::load(Executable::of(&plan), plan, kv_pages, Side::Run)?)),
        target => Err(DeviceError::Target { target, device: DeviceKind::Cpu }),
    }
}
