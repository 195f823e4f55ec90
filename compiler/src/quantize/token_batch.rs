//! Calibration records side by side, as one pass over a program takes them.

use samp_kernels::attention::SequenceSlice;
use samp_runtime::Batch;

/// Whole records side by side: what one pass over the program takes.
#[derive(Clone, Debug, Default)]
pub struct TokenBatch {
    /// The tokens of all records.
    pub token_ids: Vec<u32>,
    /// Tokens of each record; every one begins a sequence.
    pub lengths: Vec<usize>,
    /// Which record each is, as the caller numbers them.
    pub records: Vec<usize>,
    pages: Vec<Vec<u32>>,
    outputs: Vec<u32>,
}

impl TokenBatch {
    /// Puts records together, in order, as long as at most `max_tokens` tokens result. Logits are read after every token
    /// but the last of a record, which predicts nothing that is known.
    pub fn pack<R: AsRef<[u32]>>(records: &[R], max_tokens: usize, page_tokens: usize) -> Vec<TokenBatch> {
        let mut batches: Vec<TokenBatch> = vec![];
        let records = records.iter().map(AsRef::as_ref).enumerate();
        for (index, record) in records.filter(|(_, record)| !record.is_empty()) {
            let fits = |b: &TokenBatch| b.token_ids.len() + record.len() <= max_tokens;
            if !batches.last().is_some_and(fits) {
                batches.push(TokenBatch::default());
            }
            let batch = batches.last_mut().expect("just made");
            let start = batch.token_ids.len() as u32;
            let first_page = batch.pages.iter().map(Vec::len).sum::<usize>() as u32;
            batch.pages.push((first_page..first_page + record.len().div_ceil(page_tokens) as u32).collect());
            batch.outputs.extend(start..start + record.len() as u32 - 1);
            batch.token_ids.extend(record);
            batch.lengths.push(record.len());
            batch.records.push(index);
        }
        batches
    }

    /// The first records, as long as fewer than so many tokens came before.
    pub fn beginning(&self, tokens: usize) -> TokenBatch {
        let starts = self.lengths.iter().scan(0, |end, length| Some(std::mem::replace(end, *end + length)));
        let records = starts.take_while(|&start| start < tokens).count();
        let end = self.lengths[..records].iter().sum::<usize>();
        TokenBatch {
            token_ids: self.token_ids[..end].to_vec(),
            lengths: self.lengths[..records].to_vec(),
            records: self.records[..records].to_vec(),
            pages: self.pages[..records].to_vec(),
            outputs: self.outputs.iter().copied().filter(|&row| (row as usize) < end).collect(),
        }
    }

    /// Tokens of all records.
    pub fn tokens(&self) -> usize {
        self.token_ids.len()
    }

    /// Rows of logits that a pass gives: one for each token but the last of each record.
    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// The tokens after which logits are read.
    pub(super) fn output_rows(&self) -> &[u32] {
        &self.outputs
    }

    /// The token that follows each row of logits.
    pub fn next_tokens(&self) -> Vec<u32> {
        self.outputs.iter().map(|&row| self.token_ids[row as usize + 1]).collect()
    }

    /// The record that row `row` of the logits belongs to.
    pub fn record_of(&self, row: usize) -> usize {
        let ends = self.lengths.iter().scan(0, |end, length| {
            *end += length - 1;
            Some(*end)
        });
        let index = ends.take_while(|&end| end <= row).count();
        self.records[index]
    }

    pub(super) fn slices(&self) -> Vec<SequenceSlice<'_>> {
        let pages = self.pages.iter().map(Vec::as_slice);
        self.lengths
            .iter()
            .zip(pages)
            .map(|(&tokens, pages)| SequenceSlice { start: 0, tokens, pages })
            .collect()
    }

    /// The batch as a device takes it; `sequences` are its slices.
    pub(super) fn view<'a>(&'a self, sequences: &'a [SequenceSlice<'a>]) -> Batch<'a> {
        Batch { token_ids: &self.token_ids, sequences, output_rows: &self.outputs }
    }
}
