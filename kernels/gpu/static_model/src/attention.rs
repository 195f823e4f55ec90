//! Bytes of the KV cache a clock of the attention kernels.

use samp_kernels::target::Target;

use crate::{Block, Code, ModelError, Profile, Residency, Timings, clocks_per_round};

/// Floating-point operations of `mma.m16n8k16`.
const MMA_FLOPS: f64 = 2.0 * 16.0 * 8.0 * 16.0;

/// An attention kernel on one target. Keys and values come from memory into registers: a warp's loads take as long as memory
/// does, for decoding, or as the L2 cache, which prompts find them in.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionModel {
    /// What a block takes.
    pub block: Block,
    /// Blocks on a multiprocessor.
    pub blocks: u32,
    /// A warp's round.
    pub profile: Profile,
    /// Clocks of the multiprocessor for one warp's round.
    pub clocks: f64,
}

impl AttentionModel {
    /// Of decoding, with at most so many blocks of a launch on a multiprocessor.
    pub fn decode(
        code: &Code,
        block: Block,
        most_blocks: u32,
        target: &Target,
    ) -> Result<AttentionModel, ModelError> {
        AttentionModel::new(code, block, most_blocks, target, Timings::from_memory)
    }

    /// Of prompts.
    pub fn prefill(code: &Code, block: Block, target: &Target) -> Result<AttentionModel, ModelError> {
        AttentionModel::new(code, block, u32::MAX, target, Timings::from_l2)
    }

    fn new(
        code: &Code,
        block: Block,
        most_blocks: u32,
        target: &Target,
        loading: fn(Timings) -> Timings,
    ) -> Result<AttentionModel, ModelError> {
        let capability = target.compute_capability.ok_or(ModelError::Target(target.name))?;
        let timings = Timings::for_capability(capability).ok_or(ModelError::Target(target.name))?;
        let blocks = block.resident(target).min(most_blocks);
        let profile = Profile::of_main_loop(code, 0)?;
        let residency = Residency { blocks, warps: block.threads / 32 };
        let clocks = clocks_per_round(&profile.path, residency, &loading(timings));
        let clocks = clocks.ok_or(ModelError::DoesNotFit)?;
        Ok(AttentionModel { block, blocks, profile, clocks })
    }

    /// Positions of one KV head that a warp takes in a round. For 16 of them, a product of scores and one of values takes
    /// `head_dim / 8` instructions each.
    fn positions(&self, head_dim: u32) -> f64 {
        16.0 * self.profile.products() as f64 / (f64::from(head_dim) / 4.0)
    }

    /// The share of a target's bandwidth that reading keys and values of so many bits takes so fast, at most 1.
    pub fn share_of_bandwidth(&self, head_dim: u32, bits: u32, target: &Target) -> f64 {
        let bytes = self.positions(head_dim) * f64::from(2 * head_dim * bits / 8);
        let rate = bytes / self.clocks * f64::from(target.units) * target.clock_hz;
        (rate / target.bandwidth).min(1.0)
    }

    /// The share of the peak rate of matrix units.
    pub fn share_of_peak(&self, target: &Target) -> f64 {
        let flops = MMA_FLOPS * self.profile.products() as f64 / self.clocks;
        flops * f64::from(target.units) * target.clock_hz / target.peaks.f16
    }
}
