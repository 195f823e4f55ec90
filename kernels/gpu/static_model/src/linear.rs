//! Weights a clock of the linear kernels.

use samp_abi::Layout;
use samp_kernels::{linear::cuda::Linear, target::Target};

use crate::{
    Block, Code, ModelError, Profile, Residency, Timings, clocks_per_round,
    flow::{is_copy, is_matrix, loop_with_most, loops, usual_path},
};

/// A linear kernel on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearModel {
    /// The kernel.
    pub linear: Linear,
    /// What a block takes.
    pub block: Block,
    /// Blocks on a multiprocessor, by registers, by shared memory, and by the launch for few tokens.
    pub blocks: u32,
    /// A round of one of the warps that multiply.
    pub profile: Profile,
    /// Weights of a warp's round.
    pub weights: u64,
    /// Bytes of weights on their way to a multiprocessor.
    pub bytes_in_flight: u32,
    /// Clocks that the warp which brings in a part takes for it, where a block has one.
    pub producer_clocks: Option<f64>,
    /// Weights a clock and multiprocessor that the warps which multiply take, were all at hand.
    pub consumed: f64,
    /// The same that arrive: by Little's law, and by what the producers start.
    pub arriving: f64,
}

impl LinearModel {
    /// Of a kernel's code, whose threads have so many registers.
    pub fn new(
        linear: &Linear,
        code: &Code,
        registers: u32,
        target: &Target,
    ) -> Result<LinearModel, ModelError> {
        let capability = target.compute_capability.ok_or(ModelError::Target(target.name))?;
        let timings = Timings::for_capability(capability).ok_or(ModelError::Target(target.name))?;
        let block = Block { threads: linear.threads(), registers, shared_bytes: linear.shared_bytes() };
        let launched = linear.grid(linear.tokens, target).blocks[0].div_ceil(target.units);
        let blocks = block.resident(target).min(launched);
        if blocks == 0 {
            return Err(ModelError::DoesNotFit);
        }
        // Where one warp starts the copies, the others start none.
        let copies = if linear.kind.is_wgmma() { 0 } else { linear.copies_of_stage() };
        let profile = Profile::of_main_loop(code, copies as usize)?;
        let weights = profile.row_elements(linear.tokens.into());
        let residency = Residency { blocks, warps: linear.multiplying_warps() };
        let clocks = clocks_per_round(&profile.path, residency, &timings);
        let clocks = clocks.ok_or(ModelError::Loop("can be played"))?;
        let bytes_in_flight = blocks * linear.bytes_in_flight();
        let producer_clocks =
            linear.kind.is_wgmma().then(|| producer_clocks(linear, code, &timings)).transpose()?;
        let by_latency =
            f64::from(bytes_in_flight) / timings.memory_latency as f64 / bytes_per_weight(linear);
        let by_producer = producer_clocks.map(|clocks| f64::from(blocks * linear.part_weights()) / clocks);
        Ok(LinearModel {
            linear: *linear,
            block,
            blocks,
            weights,
            bytes_in_flight,
            producer_clocks,
            consumed: weights as f64 / clocks,
            arriving: by_producer.map_or(by_latency, |limit| limit.min(by_latency)),
            profile,
        })
    }

    /// Weights a clock and multiprocessor, where memory is as fast as need be.
    pub fn weights_per_clock(&self) -> f64 {
        self.consumed.min(self.arriving)
    }

    /// The share of a target's bandwidth that reading weights so fast takes, at most 1.
    pub fn share_of_bandwidth(&self, target: &Target) -> f64 {
        let bytes = self.weights_per_clock() * bytes_per_weight(&self.linear) * clocks(target);
        (bytes / target.bandwidth).min(1.0)
    }

    /// The share of the peak rate of 16-bit matrix units that multiplying so fast takes, as bandwidth allows.
    pub fn share_of_peak(&self, target: &Target) -> f64 {
        let of_memory = target.bandwidth / bytes_per_weight(&self.linear);
        let weights = (self.weights_per_clock() * clocks(target)).min(of_memory);
        2.0 * f64::from(self.linear.tokens) * weights / target.peaks.f16
    }

    /// What limits it on a target.
    pub fn limit(&self, target: &Target) -> &'static str {
        if self.share_of_bandwidth(target) >= 1.0 {
            "memory"
        } else if self.consumed <= self.arriving {
            "issue"
        } else if self.producer_clocks.is_some_and(|clocks| {
            f64::from(self.blocks * self.linear.part_weights()) / clocks <= self.arriving
        }) {
            "producer"
        } else {
            "latency"
        }
    }
}

/// Clocks a second of all multiprocessors.
fn clocks(target: &Target) -> f64 {
    f64::from(target.units) * target.clock_hz
}

/// Bytes that a weight takes in memory, its scales included.
fn bytes_per_weight(linear: &Linear) -> f64 {
    let (rows, cols) = (u64::from(linear.rows), u64::from(linear.cols));
    Layout::MmaFragments.bytes(linear.format, rows, cols) as f64 / (rows * cols) as f64
}

/// Clocks of a round of the warp that starts the copies of a part, alone on its scheduler.
fn producer_clocks(linear: &Linear, code: &Code, timings: &Timings) -> Result<f64, ModelError> {
    let outer = loop_with_most(code, is_copy).ok_or(ModelError::Loop("copies"))?;
    if outer.count(code, is_matrix) > 0 {
        return Err(ModelError::Loop("copies alone"));
    }
    let needed = linear.copies_of_stage() as usize;
    let bulk = outer.count(code, |instruction| instruction.mnemonic() == "UBLKCP");
    let single = outer.count(code, is_copy) - bulk;
    let path = usual_path(code, &outer, bulk + needed.min(single));
    let path = repeat_copies(code, path, needed);
    let alone = Residency { blocks: 1, warps: 1 };
    let round = path.iter().map(|&index| &code.instructions[index]);
    clocks_per_round(round, alone, timings).ok_or(ModelError::Loop("can be played by the producer"))
}

/// The same way with the loop over single copies repeated, so that there are as many as are needed.
fn repeat_copies(code: &Code, path: Vec<usize>, needed: usize) -> Vec<usize> {
    let is_single = |index: &&usize| code.instructions[**index].mnemonic() == "LDGSTS";
    let held = path.iter().filter(is_single).count();
    let inner = loops(code).into_iter().filter_map(|found| {
        let at = path.iter().position(|&index| index == found.head)?;
        let end = path.iter().position(|&index| index == found.back)?;
        let per_trip = path.get(at..=end)?.iter().filter(is_single).count();
        (per_trip > 0 && per_trip < path.len()).then_some((at, end, per_trip))
    });
    let Some((at, end, per_trip)) = inner.min_by_key(|(at, end, _)| end - at) else { return path };
    let more = needed.saturating_sub(held).div_ceil(per_trip);
    let again = path[at..=end].repeat(more);
    [&path[..=end], &again, &path[end + 1..]].concat()
}
