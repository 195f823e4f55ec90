//! What a step brings with it, as kernels read it: ids, positions, pages.

use bytemuck::NoUninit;
use samp_abi::plan::Plan;
use samp_kernels::sample::{SampleRequest, SamplingParams};

use super::{Arg, Driver, DriverError, padding::max_decode_sequences, step_shape::StepShape};
use crate::device::Batch;

/// The arrays of a step in one piece of memory. Where each begins follows from the step's shape, so that recorded launches,
/// which are of one shape, find them.
pub(super) struct Inputs<M> {
    memory: M,
    staged: Vec<u8>,
}

/// The arrays, of i32 unless said.
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
    /// Of each output, how its token is sampled; none where no tokens are.
    SamplingParams,
    /// Random bits for that, of u64.
    Draws,
}

impl Array {
    const ALL: [Array; 8] = {
        use Array::*;
        [TokenIds, Positions, Sequences, Starts, OutputRows, PageTable, SamplingParams, Draws]
    };

    fn bytes(self, shape: &StepShape) -> u64 {
        let &StepShape { tokens, outputs, sequences, max_pages, sampling, .. } = shape;
        let [tokens, outputs, sequences, pages] = [tokens, outputs, sequences, max_pages].map(u64::from);
        let requests = if sampling { outputs } else { 0 };
        match self {
            Array::TokenIds | Array::Positions | Array::Sequences => 4 * tokens,
            Array::Starts => 4 * (sequences + 1),
            Array::OutputRows => 4 * outputs,
            Array::PageTable => 4 * sequences * pages,
            Array::SamplingParams => size_of::<SamplingParams>() as u64 * requests,
            Array::Draws => 8 * requests,
        }
    }

    /// The first byte behind the arrays before it.
    fn offset(self, shape: &StepShape) -> u64 {
        Array::ALL[..self as usize].iter().map(|array| array.bytes(shape).next_multiple_of(ALIGNMENT)).sum()
    }
}

impl<M> Inputs<M> {
    /// Memory for the largest step of a plan.
    pub fn new(driver: &impl Driver<Memory = M>, plan: &Plan) -> Result<Inputs<M>, DriverError> {
        let (limits, page_tokens) = (&plan.limits, plan.kv.page_tokens);
        let largest = StepShape {
            tokens: limits.max_tokens as u32,
            outputs: limits.max_tokens as u32,
            sequences: limits.max_sequences.max(max_decode_sequences(plan)) as u32,
            decoding: 0,
            max_pages: limits.max_context.div_ceil(page_tokens).next_power_of_two() as u32,
            sampling: true,
        };
        let bytes = Array::Draws.offset(&largest) + Array::Draws.bytes(&largest);
        Ok(Inputs { memory: driver.allocate("step inputs", bytes)?, staged: vec![] })
    }

    /// Brings the arrays of a batch to the device, and a sample request for each output or none.
    pub fn upload(
        &mut self,
        driver: &impl Driver<Memory = M>,
        batch: &Batch<'_>,
        requests: &[SampleRequest],
        shape: &StepShape,
    ) -> Result<(), DriverError> {
        self.staged.clear();
        self.stage(shape, Array::TokenIds, batch.token_ids.iter().map(|&id| id as i32));
        let spread = |index: usize| {
            let sequence = &batch.sequences[index];
            (sequence.start..sequence.start + sequence.tokens).map(move |position| (index, position))
        };
        let tokens = || (0..batch.sequences.len()).flat_map(spread);
        self.stage(shape, Array::Positions, tokens().map(|(_, position)| position as i32));
        self.stage(shape, Array::Sequences, tokens().map(|(index, _)| index as i32));
        let mut end = 0;
        let ends = batch.sequences.iter().map(|sequence| {
            end += sequence.tokens as i32;
            end
        });
        let starts: Vec<i32> = [0].into_iter().chain(ends).collect();
        self.stage(shape, Array::Starts, starts.into_iter());
        self.stage(shape, Array::OutputRows, batch.output_rows.iter().map(|&row| row as i32));
        let row = |pages: &[u32]| {
            let mut row = vec![0; shape.max_pages as usize];
            row.iter_mut().zip(pages).for_each(|(to, &page)| *to = page as i32);
            row
        };
        let table: Vec<i32> = batch.sequences.iter().flat_map(|sequence| row(sequence.pages)).collect();
        self.stage(shape, Array::PageTable, table.into_iter());
        self.stage(shape, Array::SamplingParams, requests.iter().map(|request| request.params));
        self.stage(shape, Array::Draws, requests.iter().map(|request| request.draw));
        driver.upload(&self.memory, 0, &self.staged)
    }

    fn stage<T: NoUninit>(&mut self, shape: &StepShape, array: Array, values: impl Iterator<Item = T>) {
        self.staged.resize(array.offset(shape) as usize, 0);
        values.for_each(|value| self.staged.extend(bytemuck::bytes_of(&value)));
        debug_assert_eq!(self.staged.len() as u64, array.offset(shape) + array.bytes(shape));
    }

    /// An array of a step.
    pub fn arg(&self, array: Array, shape: &StepShape) -> Arg<'_, M> {
        Arg::Memory { memory: &self.memory, offset: array.offset(shape), bytes: array.bytes(shape) }
    }
}

/// Arrays begin on boundaries that vector loads need.
const ALIGNMENT: u64 = 256;
