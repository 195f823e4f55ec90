//! Readying a GPU for a plan, and how large a cache it has room for.

use std::sync::Arc;

use samp_kernels::target::Target;

use super::{Cuda, DeviceInfo};
use crate::{
    device::{
        Device, DeviceError, DeviceKind, Taken,
        gpu::{Driver, DriverError, GpuDevice, Stored, spare_pages},
    },
    plan::OpenPlan,
};

/// Memory for what is neither weights, activations nor cache: code, partial sums, recorded launches, the driver's own.
const RESERVED_BYTES: u64 = 512 << 20;

/// Readies the first GPU for `plan`, if the plan is for such a one.
pub(in crate::device) fn load(
    plan: Arc<OpenPlan>,
    kv_pages: u32,
    taken: Taken<'_>,
) -> Result<Box<dyn Device>, DeviceError> {
    let cuda = open_for(&plan)?;
    Ok(Box::new(GpuDevice::load(cuda, &Stored { plan: &plan, taken }, kv_pages)?))
}

/// Pages of the KV cache, at most `full`, that fit beside the weights into the part `utilization` of the GPU's memory.
pub(in crate::device) fn kv_pages(plan: &OpenPlan, full: u32, utilization: f64) -> Result<u32, DeviceError> {
    let cuda = open_for(plan)?;
    let (total, free) = (cuda.device_info().total_memory, cuda.free_memory()?);
    let manifest = plan.manifest();
    let page_bytes = (manifest.memory.kv_bytes_per_token * manifest.kv.page_tokens).max(1);
    let beside = manifest.memory.weights_bytes + manifest.memory.arena_bytes + RESERVED_BYTES;
    let room = (total as f64 * utilization) as u64;
    let left = room.saturating_sub(total.saturating_sub(free)).saturating_sub(beside);
    let pages = u32::try_from(left / page_bytes).unwrap_or(u32::MAX);
    match pages.saturating_sub(spare_pages(manifest)).min(full) {
        0 => Err(DeviceError::Driver(DriverError::Memory {
            what: "weights with the least KV cache",
            bytes: beside + page_bytes * u64::from(1 + spare_pages(manifest)),
            free,
            remedy: "compile with smaller formats or limits, free the GPU of other work, or raise the part of its \
                     memory that may be used",
        })),
        pages => Ok(pages),
    }
}

fn open_for(plan: &OpenPlan) -> Result<Cuda, DeviceError> {
    let target = plan.manifest().target;
    let Some(expected) = Target::of(target).compute_capability else {
        return Err(DeviceError::Target { target, device: DeviceKind::Cuda });
    };
    let cuda = Cuda::open(0)?;
    let DeviceInfo { name, compute_capability: found, .. } = cuda.device_info();
    if *found == expected {
        return Ok(cuda);
    }
    Err(DeviceError::Capability { target, expected, name: name.clone(), found: *found })
}
