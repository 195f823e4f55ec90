//! What a step brings with it, as kernels read it: ids, positions, pages.

use samp_abi::plan::Limits;

use super::{Arg, Driver, DriverError};
use crate::device::Batch;

/// The arrays of a step in one piece of memory, each at a place of its own, so that recorded launches find them.
pub(super) struct Inputs<M> {
    memory: M,
    places: [u64; ARRAYS],
    staged: Vec<u8>,
}

/// The arrays, all of i32.
#[derive(Clone, Copy)]
pub(super) enum Array {
    TokenIds,
    /// Position of each token in its sequence.
    Positions,
    /// Each token's sequence, by its index in the step.
    Sequences,
    /// The first token of each sequence, and the end of the last.
    Starts,
    OutputRows,
    /// Pages of each sequence, in rows of one width.
    PageTable,
}

const ARRAYS: usize = 6;

/// What the launches of a step depend on, beside the arrays' contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StepShape {
    pub tokens: u32,
    pub outputs: u32,
    pub sequences: u32,
    /// Pages of a row of the page table: a power of two, so that few shapes differ by it.
    pub max_pages: u32,
}

impl StepShape {
    pub fn of(batch: &Batch<'_>) -> StepShape {
        let pages = batch.sequences.iter().map(|sequence| sequence.pages.len()).max().unwrap_or(0);
        StepShape {
            tokens: batch.token_ids.len() as u32,
            outputs: batch.output_rows.len() as u32,
            sequences: batch.sequences.len() as u32,
            max_pages: pages.next_power_of_two() as u32,
        }
    }

    /// Whether every sequence has one token, whose logits are wanted: a shape that comes again and again.
    pub fn is_decode(&self) -> bool {
        self.tokens == self.sequences && self.tokens == self.outputs
    }
}

impl<M> Inputs<M> {
    /// Memory for the largest step within `limits`.
    pub fn new(
        driver: &impl Driver<Memory = M>,
        limits: &Limits,
        page_tokens: u64,
    ) -> Result<Inputs<M>, DriverError> {
        let pages = limits.max_context.div_ceil(page_tokens).next_power_of_two();
        let (tokens, sequences) = (limits.max_tokens, limits.max_sequences);
        let counts = [tokens, tokens, tokens, sequences + 1, tokens, sequences * pages];
        let mut end = 0;
        let places = counts.map(|count| {
            let place = end;
            end += (4 * count).next_multiple_of(ALIGNMENT);
            place
        });
        Ok(Inputs { memory: driver.allocate("step inputs", end)?, places, staged: vec![] })
    }

    /// Brings the arrays of a batch to the device.
    pub fn upload(
        &mut self,
        driver: &impl Driver<Memory = M>,
        batch: &Batch<'_>,
        shape: &StepShape,
    ) -> Result<(), DriverError> {
        self.staged.clear();
        let ids = batch.token_ids.iter().map(|&id| id as i32);
        self.stage(Array::TokenIds, ids);
        let spread = |index: usize| {
            let sequence = &batch.sequences[index];
            (sequence.start..sequence.start + sequence.tokens).map(move |position| (index, position))
        };
        let tokens = || (0..batch.sequences.len()).flat_map(spread);
        self.stage(Array::Positions, tokens().map(|(_, position)| position as i32));
        self.stage(Array::Sequences, tokens().map(|(index, _)| index as i32));
        let mut end = 0;
        let ends = batch.sequences.iter().map(|sequence| {
            end += sequence.tokens as i32;
            end
        });
        let starts: Vec<i32> = [0].into_iter().chain(ends).collect();
        self.stage(Array::Starts, starts.into_iter());
        self.stage(Array::OutputRows, batch.output_rows.iter().map(|&row| row as i32));
        let row = |pages: &[u32]| {
            let mut row = vec![0; shape.max_pages as usize];
            row.iter_mut().zip(pages).for_each(|(to, &page)| *to = page as i32);
            row
        };
        let table: Vec<i32> = batch.sequences.iter().flat_map(|sequence| row(sequence.pages)).collect();
        self.stage(Array::PageTable, table.into_iter());
        driver.upload(&self.memory, 0, &self.staged)
    }

    fn stage(&mut self, array: Array, values: impl Iterator<Item = i32>) {
        self.staged.resize(self.places[array as usize] as usize, 0);
        self.staged.extend(values.flat_map(i32::to_le_bytes));
    }

    /// `count` values of an array.
    pub fn arg(&self, array: Array, count: u32) -> Arg<'_, M> {
        Arg::Memory { memory: &self.memory, offset: self.places[array as usize], bytes: 4 * u64::from(count) }
    }
}

/// Arrays begin on boundaries that vector loads need.
const ALIGNMENT: u64 = 256;
