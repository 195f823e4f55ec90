//! The shape of a step: what recorded launches are told apart by.

use crate::device::Batch;

/// What the launches of a step depend on, beside the arrays' contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StepShape {
    pub tokens: u32,
    pub outputs: u32,
    pub sequences: u32,
    /// Of them the first that have one token each.
    pub decoding: u32,
    /// Pages of a row of the page table: a power of two, so that few shapes differ by it.
    pub max_pages: u32,
    /// Whether tokens are sampled, rather than logits given.
    pub sampling: bool,
}

impl StepShape {
    /// That of a batch, after which tokens are sampled or not.
    pub fn new(batch: &Batch<'_>, sampling: bool) -> StepShape {
        let pages = batch.sequences.iter().map(|sequence| sequence.pages.len()).max().unwrap_or(0);
        StepShape {
            tokens: batch.token_ids.len() as u32,
            outputs: batch.output_rows.len() as u32,
            sequences: batch.sequences.len() as u32,
            decoding: batch.sequences.iter().take_while(|sequence| sequence.tokens == 1).count() as u32,
            max_pages: pages.next_power_of_two() as u32,
            sampling,
        }
    }

    /// Whether every sequence has one token, whose logits are wanted: a shape that comes again and again.
    pub fn is_decode(&self) -> bool {
        self.decoding == self.sequences && self.tokens == self.outputs
    }
}
