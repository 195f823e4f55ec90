//! What goes into a step and what comes out of it.

use std::ops::Range;

use crate::{error::EngineError, sequence_id::SequenceId};

/// New tokens of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The sequence that they are appended to.
    pub sequence: SequenceId,
    /// The tokens, at least one; they follow the cached positions.
    pub tokens: &'a [u32],
    /// Where logits are wanted.
    pub outputs: Outputs<'a>,
}

/// The tokens of a chunk whose logits (those of the token after) are wanted.
#[derive(Clone, Copy, Debug)]
pub enum Outputs<'a> {
    /// Of no token.
    None,
    /// Of the last.
    Last,
    /// Of each token.
    All,
    /// Of these, ascending.
    At(&'a [usize]),
}

impl Outputs<'_> {
    /// The rows of a chunk of `tokens` tokens.
    pub(crate) fn rows(self, tokens: usize) -> Result<Vec<usize>, EngineError> {
        match self {
            Outputs::None => Ok(vec![]),
            Outputs::Last => Ok(tokens.checked_sub(1).into_iter().collect()),
            Outputs::All => Ok((0..tokens).collect()),
            Outputs::At(rows) => {
                let holds = rows.is_sorted_by(|a, b| a < b) && rows.last().is_none_or(|&last| last < tokens);
                if holds { Ok(rows.to_vec()) } else { Err(EngineError::OutputRows { tokens }) }
            }
        }
    }
}

/// Logits of a step: one row of `vocab` for each output, chunk after chunk.
#[derive(Clone, Debug)]
pub struct Logits {
    pub(crate) data: Vec<f32>,
    vocab: usize,
    chunks: Vec<Range<usize>>,
}

impl Logits {
    /// Rows of zeros, to be filled.
    pub(crate) fn zeroed(vocab: usize, chunks: Vec<Range<usize>>) -> Logits {
        let rows = chunks.last().map_or(0, |last| last.end);
        Logits { data: vec![0.0; rows * vocab], vocab, chunks }
    }

    /// Several steps over one sequence as if they had been one.
    pub(crate) fn joined(vocab: usize, steps: Vec<Logits>) -> Logits {
        let data: Vec<f32> = steps.into_iter().flat_map(|step| step.data).collect();
        let rows = 0..data.len() / vocab;
        Logits { data, vocab, chunks: Vec::from([rows]) }
    }

    /// Elements of a row.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.vocab
    }

    /// Whether no logits were asked for.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The logits of one output, `[vocab]`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.data[index * self.vocab..(index + 1) * self.vocab]
    }

    /// All rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.data.chunks_exact(self.vocab)
    }

    /// The rows of one chunk of the batch.
    pub fn chunk(&self, index: usize) -> Range<usize> {
        self.chunks[index].clone()
    }

    /// All elements, `[rows, vocab]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }
}

/// The order in which a device takes chunks, and what is wanted of them in the order in which they were given.
pub(crate) struct BatchLayout<'a> {
    /// Those of one token first.
    pub chunks: Vec<&'a Chunk<'a>>,
    /// Rows of the batch in this order whose logits are wanted, chunk after chunk as given.
    pub output_rows: Vec<u32>,
    /// Which of the output rows belong to each chunk as given.
    pub outputs: Vec<Range<usize>>,
}

impl<'a> BatchLayout<'a> {
    pub fn new(batch: &'a [Chunk<'a>]) -> Result<BatchLayout<'a>, EngineError> {
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by_key(|&index| batch[index].tokens.len() > 1);
        let (mut starts, mut end) = (vec![0; batch.len()], 0);
        for &index in &order {
            starts[index] = end;
            end += batch[index].tokens.len();
        }
        let (mut output_rows, mut outputs) = (vec![], vec![]);
        for (chunk, start) in batch.iter().zip(starts) {
            let before = output_rows.len();
            let rows = chunk.outputs.rows(chunk.tokens.len())?;
            output_rows.extend(rows.iter().map(|row| (start + row) as u32));
            outputs.push(before..output_rows.len());
        }
        Ok(BatchLayout {
            chunks: order.into_iter().map(|index| &batch[index]).collect(),
            output_rows,
            outputs,
        })
    }
}
