//! The tensor to encode, read in chunks of rows over the threads.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use rayon::prelude::*;
use samp_abi::{Format, Layout};

use super::{arithmetic::absmax, error::EncodeError};
use crate::{
    encoded::Encoded,
    simd::{Job, Lanes, Width, run as run_lanes},
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
    /// Values up to this magnitude become zero, whatever stands beside them.
    pub lost: f32,
}

/// Some whole rows.
pub(super) struct Chunk<'a> {
    /// Index of the first row.
    pub first_row: usize,
    /// The rows, all values finite; scratch that the task may overwrite.
    pub values: &'a mut [f32],
}

impl<'a> Input<'a> {
    /// A tensor to be read from `source`.
    pub fn new(format: Format, rows: usize, cols: usize, source: &'a dyn RowSource) -> Input<'a> {
        // Half of the smallest number of f16 is rounded to zero, as a value and in units of a scale.
        let lost = match format {
            Format::F16 | Format::Int4 { .. } | Format::Int5 { .. } | Format::Int6 { .. } => {
                f32::powi(0.5, 25)
            }
            _ => 0.0,
        };
        Input { format, rows, cols, source, lost }
    }

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
        let seen = Magnitudes::default();
        let run = |scratch: &mut Vec<f32>, (index, output): (usize, T)| {
            let first_row = index * chunk_rows;
            scratch.resize(chunk_rows.min(self.rows - first_row) * self.cols, 0.0);
            self.source.read(first_row, scratch);
            for (row, values) in (first_row..).zip(scratch.chunks(self.cols)) {
                let largest = run_lanes(Width::detect(), Absmax(values));
                if !largest.is_finite() {
                    return Err(self.not_finite(row, values));
                }
                seen.note(row, largest, self.lost);
            }
            encode(Chunk { first_row, values: scratch }, output)
        };
        let failure = outputs.enumerate().map_init(Vec::new, run).find_first(Result::is_err);
        failure.unwrap_or(Ok(()))?;
        let vanished = seen.vanished();
        vanished.map_or(Ok(()), |(row, largest)| {
            Err(EncodeError::Underflow { format: self.format, row, largest })
        })
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

    fn not_finite(&self, row: usize, values: &[f32]) -> EncodeError {
        let col = values.iter().position(|x| !x.is_finite()).unwrap_or(0);
        EncodeError::NotFinite { format: self.format, row, col, value: values[col] }
    }
}

/// Rows so much smaller than the tensor's largest value have never been trained: vocabularies have such for tokens in reserve.
const UNTRAINED: f32 = 1.0 / (1u64 << 40) as f32;

/// The largest values of a tensor and of its rows that would become zero.
#[derive(Default)]
struct Magnitudes {
    /// The bits of the largest; those of positive numbers ascend with these.
    largest: AtomicU32,
    rows: Mutex<BTreeMap<usize, f32>>,
}

impl Magnitudes {
    /// Takes note of a row; one is lost whose largest value is not above `lost`, unless it is zero.
    fn note(&self, row: usize, largest: f32, lost: f32) {
        self.largest.fetch_max(largest.to_bits(), Ordering::Relaxed);
        if largest > 0.0 && largest <= lost {
            self.rows.lock().unwrap_or_else(PoisonError::into_inner).insert(row, largest);
        }
    }

    /// The first row that is lost and was trained.
    fn vanished(self) -> Option<(usize, f32)> {
        let least = f32::from_bits(self.largest.into_inner()) * UNTRAINED;
        let rows = self.rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        rows.into_iter().find(|&(_, largest)| largest > least)
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
