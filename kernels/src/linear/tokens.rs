//! Inputs in the order in which the panel kernel reads them.

use crate::{
    parallel::{ELEMENT_WORK, for_each_of},
    simd::Width,
};
use std::ops::Range;

/// Blocks of tokens, and in a block column by column: `[block][column][token of the block]`.
pub(super) struct PackedTokens {
    /// Tokens of all blocks together.
    pub(super) tokens: usize,
    /// Tokens of each block.
    pub(super) blocks: Vec<usize>,
    cols: usize,
    values: Vec<f32>,
}

impl PackedTokens {
    /// Packs `x` of `[tokens, cols]` in blocks of as many tokens as the width has registers for.
    pub(super) fn new(x: &[f32], cols: usize, width: Width) -> PackedTokens {
        let sizes: &[usize] = if matches!(width, Width::Avx512 | Width::Avx512Vnni | Width::Amx) {
            &[12, 8, 4, 2, 1]
        } else {
            &[6, 4, 2, 1]
        };
        let tokens = x.len() / cols;
        let mut packed = PackedTokens { tokens, blocks: vec![], cols, values: vec![0.0; x.len()] };
        let (mut from, mut to, mut parts) = (x, &mut packed.values[..], vec![]);
        while !from.is_empty() {
            let left = from.len() / cols;
            let block = *sizes.iter().find(|&&size| size <= left).expect("the sizes end with 1");
            let (rows, columns);
            (rows, from) = from.split_at(block * cols);
            (columns, to) = to.split_at_mut(block * cols);
            parts.push((rows, columns.chunks_exact_mut(block)));
            packed.blocks.push(block);
        }
        for_each_of(&mut parts, x.len() * ELEMENT_WORK, |_, (rows, columns)| {
            for (c, column) in columns.enumerate() {
                for (value, row) in column.iter_mut().zip(rows.chunks_exact(cols)) {
                    *value = row[c];
                }
            }
        });
        packed
    }

    /// Columns of the block of `T` tokens that begins with `token`.
    #[inline(always)]
    pub(super) fn columns<const T: usize>(&self, token: usize, columns: Range<usize>) -> &[[f32; T]] {
        let values = &self.values[token * self.cols..][..T * self.cols];
        &values.as_chunks().0[columns]
    }
}
