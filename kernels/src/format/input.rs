//! The tensor to encode, read in chunks of rows over the threads.

use rayon::prelude::*;
use samp_abi::{Format, Layout};

use super::{arithmetic::absmax, error::EncodeError};
use crate::{
    encoded::Encoded,
    simd::{Job, Lanes, Width, run},
};

/// Rows of a tensor as f32, produced on demand, so that a large tensor is never whole in memory as f32.
pub trait RowSource: Sync {
    /// Writes rows `first..` into `out`, which is a whole number of rows. Called from several threads, and more than
    /// once for a row where a format needs two passes.
    fn read(&self, first: usize, out: &mut [f32]);
}

/// Values that one task reads at a time, as far as whole rows allow.
const CHUNK: usize = 1 << 16;

/// What to encode, and into what. Neither `rows` nor `cols` is zero when a family sees it.
pub(super) struct Input<'a> {
    pub format: Format,
    pub rows: usize,
    pub cols: usize,
    pub source: &'a dyn RowSource,
}

/// Some whole rows.
pub(super) struct Chunk<'a> {
    /// Index of the first row.
    pub first_row: usize,
    /// The rows, all values finite; scratch that the task may overwrite.
    pub values: &'a mut [f32],
}

impl Input<'_> {
    /// A row-major result to be filled.
    pub fn zeroed(&self, outliers: usize) -> Encoded {
        Encoded::zeroed(self.format, Layout::RowMajor, self.rows, self.cols, outliers)
    }

    /// Rows of each chunk but the last. Even, so that two nibbles of a byte never belong to two tasks.
    pub fn chunk_rows(&self) -> usize {
        (CHUNK / self.cols / 2).max(1) * 2
    }

    /// Values of each chunk but the last.
    pub fn chunk_values(&self) -> usize {
        self.chunk_rows() * self.cols
    }

    /// Reads chunk after chunk in parallel and gives each to `encode` together with its element of `outputs`, which
    /// has one for each chunk. The error is the first in row order whatever the number of threads.
    pub fn for_each_chunk<T: Send>(
        &self,
        outputs: impl IndexedParallelIterator<Item = T>,
        encode: impl Fn(Chunk<'_>, T) -> Result<(), EncodeError> + Sync,
    ) -> Result<(), EncodeError> {
        let chunk_rows = self.chunk_rows();
        let run = |scratch: &mut Vec<f32>, (index, output): (usize, T)| {
            let first_row = index * chunk_rows;
            scratch.resize(chunk_rows.min(self.rows - first_row) * self.cols, 0.0);
            self.source.read(first_row, scratch);
            self.check_finite(first_row, scratch)?;
            encode(Chunk { first_row, values: scratch }, output)
        };
        let failure = outputs.enumerate().map_init(Vec::new, run).find_first(Result::is_err);
        failure.unwrap_or(Ok(()))
    }

    /// The largest magnitude of the whole tensor.
    pub fn absmax(&self) -> Result<f32, EncodeError> {
        let mut maxima = vec![0.0; self.rows.div_ceil(self.chunk_rows())];
        self.for_each_chunk(maxima.par_iter_mut(), |chunk, max| {
            *max = absmax(chunk.values);
            Ok(())
        })?;
        Ok(absmax(&maxima))
    }

    /// The error for a finite value that the format cannot hold.
    pub fn overflow(&self, row: usize, col: usize, value: f32) -> EncodeError {
        EncodeError::Overflow { format: self.format, row, col, value }
    }

    fn check_finite(&self, first_row: usize, values: &[f32]) -> Result<(), EncodeError> {
        if run(Width::detect(), Absmax(values)).is_finite() {
            return Ok(());
        }
        let at = values.iter().position(|x| !x.is_finite()).unwrap_or(0);
        let (row, col) = (first_row + at / self.cols, at % self.cols);
        Err(EncodeError::NotFinite { format: self.format, row, col, value: values[at] })
    }
}

/// The largest magnitude, in plain loops that are compiled for each width.
struct Absmax<'a>(&'a [f32]);

impl Job for Absmax<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> f32 {
        absmax(self.0)
    }
}
