//! Decode steps filled up to their bucket: then a handful of shapes is all that recorded launches are of, however many
//! sequences are alive.
//!
//! A row too many is a sequence of its own, with a position on pages that no other sequence has. What it gives is not looked at.

use samp_abi::plan::Plan;
use samp_kernels::{attention::SequenceSlice, sample::SampleRequest};

use super::step_shape::StepShape;
use crate::device::Batch;

/// Most sequences of a filled decode step: the bound of the bucket that all sequences of the plan are in.
pub(super) fn max_decode_sequences(plan: &Plan) -> u64 {
    bound(plan, plan.limits.max_sequences.min(plan.limits.max_tokens))
}

/// Pages behind those of the cache that the rows too many are kept on, one position each.
pub(super) fn spare_pages(plan: &Plan) -> u32 {
    max_decode_sequences(plan).div_ceil(plan.kv.page_tokens) as u32
}

/// A batch as it is executed.
pub(super) struct PaddedBatch<'a> {
    token_ids: Vec<u32>,
    sequences: Vec<SequenceSlice<'a>>,
    output_rows: Vec<u32>,
    /// One for each output, or none where logits are asked for.
    pub requests: Vec<SampleRequest>,
}

impl<'a> PaddedBatch<'a> {
    /// Fills up a decode step; other steps stay as they are. `spare` are the numbers of the spare pages.
    pub fn new(
        batch: &Batch<'a>,
        requests: &[SampleRequest],
        plan: &Plan,
        spare: &'a [u32],
    ) -> PaddedBatch<'a> {
        let mut padded = PaddedBatch {
            token_ids: batch.token_ids.to_vec(),
            sequences: batch.sequences.to_vec(),
            output_rows: batch.output_rows.to_vec(),
            requests: requests.to_vec(),
        };
        let shape = StepShape::new(batch, !requests.is_empty());
        if shape.is_decode() {
            let bound = bound(plan, shape.tokens.into()) as u32;
            padded.fill(shape.tokens..bound, plan.kv.page_tokens as usize, spare);
        }
        padded
    }

    fn fill(&mut self, rows: std::ops::Range<u32>, page_tokens: usize, spare: &'a [u32]) {
        for (index, row) in rows.enumerate() {
            let pages = std::slice::from_ref(&spare[index / page_tokens]);
            self.token_ids.push(0);
            self.sequences.push(SequenceSlice { start: index % page_tokens, tokens: 1, pages });
            self.output_rows.push(row);
            if !self.requests.is_empty() {
                self.requests.push(SampleRequest::GREEDY);
            }
        }
    }

    /// The batch to execute.
    pub fn batch(&self) -> Batch<'_> {
        Batch { token_ids: &self.token_ids, sequences: &self.sequences, output_rows: &self.output_rows }
    }
}

/// The upper bound of the bucket of so many tokens.
fn bound(plan: &Plan, tokens: u64) -> u64 {
    let buckets = &plan.program.buckets;
    buckets[buckets.partition_point(|&bound| bound < tokens)]
}
