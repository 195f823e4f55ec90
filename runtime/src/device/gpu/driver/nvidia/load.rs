//! Readying a GPU for a plan, and how large a cache it has room for.

use std::{ops::RangeInclusive, sync::Arc};

use samp_abi::{TargetName, plan::Plan};
use samp_kernels::target::Target;

use super::{Cuda, DeviceInfo};
use crate::{
    device::{
        Device, DeviceError, DeviceKind, LoadProgress,
        gpu::{Driver, DriverError, GpuDevice, RESERVED_BYTES, Stored, spare_pages},
    },
    plan::OpenPlan,
};

/// Readies the first GPU for `plan`, if the plan is for such a one.
pub(in crate::device) fn load(
    plan: Arc<OpenPlan>,
    kv_pages: u32,
    taken: LoadProgress<'_>,
) -> Result<Box<dyn Device>, DeviceError> {
    let cuda = open_for(&plan)?;
    Ok(Box::new(GpuDevice::load(cuda, &Stored { plan: &plan, taken }, kv_pages)?))
}

/// Pages of the KV cache, as many of `wanted` as fit beside the weights into the part `utilization` of the GPU's memory.
pub(in crate::device) fn kv_pages(
    plan: &OpenPlan,
    wanted: RangeInclusive<u32>,
    utilization: f64,
) -> Result<u32, DeviceError> {
    let cuda = open_for(plan)?;
    let (total, free) = (cuda.device_info().total_memory, cuda.free_memory()?);
    let room = Room { total, free, utilization };
    Ok(room.kv_pages(plan.manifest(), wanted)?)
}

/// A GPU's memory, and the part of it that may be used.
struct Room {
    total: u64,
    free: u64,
    utilization: f64,
}

impl Room {
    fn kv_pages(&self, plan: &Plan, wanted: RangeInclusive<u32>) -> Result<u32, DriverError> {
        let page_bytes = (plan.memory.kv_bytes_per_token * plan.kv.page_tokens).max(1);
        let beside = plan.memory.weights_bytes + plan.memory.arena_bytes + RESERVED_BYTES;
        // The driver's own for this process is among them, and once more in what is reserved: better too few pages than to
        // run out of memory later.
        let others = self.total.saturating_sub(self.free);
        let usable = ((self.total as f64 * self.utilization) as u64).saturating_sub(others);
        let pages = u32::try_from(usable.saturating_sub(beside) / page_bytes).unwrap_or(u32::MAX);
        let pages = pages.saturating_sub(spare_pages(plan));
        if pages < *wanted.start() {
            let least = u64::from(*wanted.start()) + u64::from(spare_pages(plan));
            return Err(DriverError::Room {
                bytes: beside.saturating_add(page_bytes.saturating_mul(least)),
                positions: u64::from(*wanted.start()) * plan.kv.page_tokens,
                usable,
                free: self.free,
            });
        }
        Ok(pages.min(*wanted.end()))
    }
}

fn open_for(plan: &OpenPlan) -> Result<Cuda, DeviceError> {
    let target = plan.manifest().target;
    let Some(expected) = Target::of(target).compute_capability else {
        return Err(DeviceError::Target { target, device: DeviceKind::Cuda });
    };
    let cuda = Cuda::open(0)?;
    suits(target, expected, cuda.device_info())?;
    Ok(cuda)
}

/// Refuses a GPU that the code of a plan for `target` does not run on.
fn suits(target: TargetName, expected: (u32, u32), info: &DeviceInfo) -> Result<(), DeviceError> {
    let found = info.compute_capability;
    if found == expected {
        return Ok(());
    }
    Err(DeviceError::Capability { target, expected, name: info.name.clone(), found })
}

#[cfg(test)]
mod tests {
    use samp_abi::plan::Memory;

    use super::*;

    const GIB: u64 = 1 << 30;

    /// 40 GiB of weights, and 1 GiB for 64 positions of 16 MiB: four pages.
    fn plan() -> Plan {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/plan_json/two_layers.json"));
        let mut plan: Plan = serde_json::from_str(text).unwrap();
        plan.memory = Memory { weights_bytes: 40 * GIB, arena_bytes: GIB / 2, kv_bytes_per_token: 16 << 20 };
        plan.kv.page_tokens = 16;
        plan
    }

    #[test]
    fn the_cache_takes_what_is_left() {
        let plan = plan();
        let spare = spare_pages(&plan);
        let pages = |free: u64, utilization, wanted| {
            Room { total: 80 * GIB, free: free * GIB, utilization }.kv_pages(&plan, wanted)
        };
        // 41 GiB beside the cache, four pages to each GiB.
        assert_eq!(pages(80, 1.0, 1..=1000).unwrap(), 4 * 39 - spare);
        assert_eq!(pages(80, 0.9, 1..=1000).unwrap(), 4 * 31 - spare);
        assert_eq!(pages(70, 0.9, 1..=1000).unwrap(), 4 * 21 - spare, "others have 10 GiB");
        assert_eq!(pages(80, 1.0, 5..=7).unwrap(), 7, "no more than is wanted");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_was_asked_for() {
        let plan = plan();
        let room = Room { total: 80 * GIB, free: 80 * GIB, utilization: 0.6 };
        let needed = 41 * GIB + u64::from(40 + spare_pages(&plan)) * (GIB / 4);
        match room.kv_pages(&plan, 40..=40).unwrap_err() {
            DriverError::Room { bytes, usable, free, .. } => {
                assert_eq!((bytes, usable, free), (needed, 48 * GIB, 80 * GIB));
            }
            other => panic!("{other}"),
        }
        let full = Room { total: 80 * GIB, free: GIB, utilization: 0.9 };
        assert!(full.kv_pages(&plan, 1..=1).is_err());
    }

    #[test]
    fn another_compute_capability_is_refused() {
        let info = |compute_capability| DeviceInfo {
            name: "NVIDIA A100".into(),
            compute_capability,
            driver: (13, 0),
            total_memory: 80 * GIB,
            multiprocessors: 108,
            l2_bytes: 40 << 20,
            shared_bytes_per_block: 163 << 10,
        };
        suits(TargetName::A100, (8, 0), &info((8, 0))).unwrap();
        let refusal = suits(TargetName::H100, (9, 0), &info((8, 0))).unwrap_err().to_string();
        for part in ["h100", "9.0", "8.0", "A100"] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }
}
