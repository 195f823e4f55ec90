//! Bounded memory: what a compile will take at its peak, and the gate that keeps it there.

use std::sync::{Condvar, Mutex};

use samp_abi::Layout;

use crate::lower::{PlanSpec, TensorSpec};

/// Tensors in flight take at most so many bytes together by default, unless one tensor alone takes more.
pub const DEFAULT_BUDGET: u64 = 4 << 30;

/// The process itself: code, the graph, the checkpoint's and the plan's manifests. Measured on a 70B graph.
const BASE: u64 = 96 << 20;
/// Of one thread: rows as f32 while it encodes, its stack, and freed tensors that the allocator keeps for it.
const PER_THREAD: u64 = 8 << 20;
/// Tensors are begun by at most so many workers; each is itself encoded by all threads, so that few suffice to keep
/// encoding, hashing and writing busy at the same time.
const MAX_WORKERS: usize = 4;

/// Peak resident memory of a compile in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeakMemory {
    /// While weights are packed: mapped sources, encoded and packed tensors in flight.
    pub packing: u64,
    /// While the finished plan runs its probe: the weight of a step is mapped, and let go of after it.
    pub probe: u64,
}

impl PeakMemory {
    /// The larger of both.
    pub fn bytes(self) -> u64 {
        self.packing.max(self.probe)
    }

    /// Predicts the peak of emitting `spec` with `threads` threads and `budget` bytes for tensors in flight.
    pub fn predict(spec: &PlanSpec, threads: usize, budget: u64) -> PeakMemory {
        let mut costs: Vec<u64> = spec.tensors.iter().map(in_flight_bytes).collect();
        costs.sort_unstable_by(|a, b| b.cmp(a));
        let largest = costs.first().copied().unwrap_or(0);
        let most: u64 = costs.iter().take(workers(threads)).sum();
        let fixed = BASE + threads as u64 * PER_THREAD;
        let weight = spec.tensors.iter().map(TensorSpec::stored_bytes).max().unwrap_or(0);
        let kv = spec.kv.bytes_per_token(&spec.model) * spec.kv.page_tokens;
        PeakMemory {
            packing: fixed + most.min(largest.max(budget)),
            probe: fixed + weight + spec.arena_bytes + kv,
        }
    }
}

/// Workers that take tensors, for so many threads that compute.
pub(super) fn workers(threads: usize) -> usize {
    threads.clamp(1, MAX_WORKERS)
}

/// Bytes that a tensor takes while it is made: its sources as mapped, the encoded arrays (with one f32 absmax per
/// 64 weights for the formats that quantize these too), and the packed arrays if packing reorders them.
pub(super) fn in_flight_bytes(tensor: &TensorSpec) -> u64 {
    let sources: u64 = tensor.sources.iter().map(|s| s.bytes()).sum();
    let encoded = tensor.bytes_in(Layout::RowMajor) + tensor.elements() / 16;
    let packed = if tensor.layout == Layout::RowMajor { 0 } else { tensor.stored_bytes() };
    sources + encoded + packed
}

/// Admits tensors while what is in flight stays within the budget; one that is larger than the whole budget is
/// admitted alone.
#[derive(Debug)]
pub(super) struct MemoryGate {
    budget: u64,
    in_flight: Mutex<u64>,
    freed: Condvar,
}

impl MemoryGate {
    /// A gate with so many bytes.
    pub(super) fn new(budget: u64) -> MemoryGate {
        MemoryGate { budget, in_flight: Mutex::new(0), freed: Condvar::new() }
    }

    /// Waits until `bytes` more may be in flight; they are until the permit is dropped.
    pub(super) fn admit(&self, bytes: u64) -> Permit<'_> {
        let in_flight = self.in_flight.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let full = |used: &mut u64| *used > 0 && *used + bytes > self.budget;
        let mut in_flight =
            self.freed.wait_while(in_flight, full).unwrap_or_else(|poisoned| poisoned.into_inner());
        *in_flight += bytes;
        Permit { gate: self, bytes }
    }
}

/// Bytes in flight.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    gate: &'a MemoryGate,
    bytes: u64,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.gate.in_flight.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) -= self.bytes;
        self.gate.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn the_gate_keeps_its_budget_and_lets_a_giant_pass_alone() {
        let gate = MemoryGate::new(100);
        let (now, peak) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for bytes in [40, 60, 30, 250, 70, 20, 10, 90] {
                let (gate, now, peak) = (&gate, &now, &peak);
                scope.spawn(move || {
                    let _permit = gate.admit(bytes);
                    let used = now.fetch_add(bytes, Ordering::SeqCst) + bytes;
                    assert!(used <= 100 || used == bytes);
                    peak.fetch_max(used, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    now.fetch_sub(bytes, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(peak.into_inner(), 250);
    }
}
