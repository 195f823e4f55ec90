//! The buffers of a program in host memory, and the view of them that observers get.

use std::ops::Range;

use samp_abi::plan::{BufferId, Program, RowDim};

/// The activations of the running step.
pub struct BufferView<'a> {
    arena: &'a [f32],
    spans: &'a [Span],
    rows: RowCounts,
}

impl<'a> BufferView<'a> {
    /// The arena of a program whose buffers are `spans`, as a batch with so many rows left it.
    pub(super) fn new(arena: &'a [f32], spans: &'a [Span], rows: RowCounts) -> BufferView<'a> {
        BufferView { arena, spans, rows }
    }

    /// The elements of a buffer, `[rows, width]` for the rows of this batch. Meaningful while the buffer is in use.
    pub fn get(&self, id: BufferId) -> &[f32] {
        &self.arena[self.spans[id.0 as usize].range(self.rows)]
    }

    /// Elements of a row of a buffer.
    pub fn width(&self, id: BufferId) -> usize {
        self.spans[id.0 as usize].width
    }
}

/// How many rows the buffers of a batch have.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowCounts {
    pub tokens: usize,
    pub outputs: usize,
}

impl RowCounts {
    /// Of so many tokens, at some of which outputs are wanted.
    pub fn new(tokens: usize, outputs: usize) -> RowCounts {
        RowCounts { tokens, outputs }
    }
}

/// A buffer as a range of f32 elements of the arena in host memory, where every element takes four bytes whatever its type
/// on the plan's target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub start: usize,
    pub width: usize,
    rows: RowDim,
}

impl Span {
    /// The spans of all buffers, and how many elements they lie in. Offsets are counted in elements of the narrowest type:
    /// then buffers that do not overlap in the plan do not overlap here.
    pub fn all(program: &Program, arena_bytes: u64) -> (Vec<Span>, u64) {
        let narrowest = program.buffers.iter().map(|b| b.dtype.bytes()).min().unwrap_or(4);
        let span = |b: &samp_abi::plan::Buffer| Span {
            start: (b.offset / narrowest) as usize,
            width: b.width as usize,
            rows: b.rows,
        };
        (program.buffers.iter().map(span).collect(), arena_bytes / narrowest)
    }

    fn count(&self, rows: RowCounts) -> usize {
        match self.rows {
            RowDim::Tokens => rows.tokens,
            RowDim::Outputs => rows.outputs,
        }
    }

    /// Its elements for so many rows.
    pub fn range(&self, rows: RowCounts) -> Range<usize> {
        self.start..self.start + self.count(rows) * self.width
    }
}
