//! The room that a GPU has for a KV cache beside a plan.

use std::ops::RangeInclusive;

use samp_abi::plan::Plan;

use super::{DriverError, padding::spare_pages};

/// Memory of a GPU that is kept for what is neither weights, activations nor cache: code, partial sums, recorded launches, the
/// driver's own.
pub const RESERVED_BYTES: u64 = 512 << 20;

/// A GPU's memory, and the part of it that may be used.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// All of its bytes.
    pub total: u64,
    /// Those that nobody has.
    pub free: u64,
    /// The part of all that this plan and others may use together.
    pub utilization: f64,
}

impl Room {
    /// Pages of the cache, as many of `wanted` as fit beside the weights.
    pub fn kv_pages(&self, plan: &Plan, wanted: RangeInclusive<u32>) -> Result<u32, DriverError> {
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
}
