//! A step: the batch that goes in, the device that executes it, and who looks on.

use samp_abi::plan::Step;
use samp_kernels::{
    attention::SequenceSlice,
    sample::{SampleRequest, SampledToken},
};

use super::{
    buffers::{BufferView, RowCounts},
    error::DeviceError,
};

/// A checked ragged batch: the tokens of several sequences one after another. Sequences of one token stand best at the front,
/// where GPUs have a kernel for them.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Ids of all tokens, one sequence after another.
    pub token_ids: &'a [u32],
    /// Whose they are; their `tokens` add up to `token_ids.len()`.
    pub sequences: &'a [SequenceSlice<'a>],
    /// Rows of the batch whose logits are wanted.
    pub output_rows: &'a [u32],
}

impl Batch<'_> {
    /// How many rows the buffers of its step have.
    pub(super) fn row_counts(&self) -> RowCounts {
        RowCounts::new(self.token_ids.len(), self.output_rows.len())
    }
}

/// Executes steps of one plan. One at a time; holds the cache of all sequences.
pub trait Device: Send {
    /// Executes the program over `batch`, and writes `[output_rows, vocab]` into `logits`. `observer` sees the
    /// buffers after each step.
    fn step(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut [f32],
        observer: Option<&mut dyn Observer>,
    ) -> Result<(), DeviceError>;

    /// Executes the program over `batch`, and chooses a token by the logits of each output row: `requests` and `sampled`
    /// have one entry for each, `None` where a logit is NaN or positive infinity, or none is finite. The logits stay where they are.
    fn step_and_sample(
        &mut self,
        batch: &Batch<'_>,
        requests: &[SampleRequest],
        sampled: &mut [Option<SampledToken>],
    ) -> Result<(), DeviceError>;

    /// The logits `[vocab]` of one output row of `batch`, which was executed last.
    fn output_logits(
        &mut self,
        batch: &Batch<'_>,
        output: usize,
        logits: &mut [f32],
    ) -> Result<(), DeviceError>;
}

/// Looks at activations as a program runs: calibration, tracing, comparison layer by layer.
pub trait Observer {
    /// Called after step `index` of the program. Its operands still hold what it read, except one that it
    /// overwrote in place.
    fn after_step(&mut self, index: usize, step: &Step, buffers: &BufferView<'_>);
}
