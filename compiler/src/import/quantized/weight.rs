//! A weight that another tool quantized, and its rows as that tool's own library dequantizes them.

use samp_kernels::format::{FP8, RowSource};

use super::{codes::CodeArray, scales::Scales, stored::StoredTensor};

/// What a code stands for before anything is subtracted or multiplied.
#[derive(Clone, Debug)]
pub(super) enum Codebook {
    /// The code as an unsigned integer, less this.
    Unsigned { less: i32 },
    /// The code as a byte in two's complement.
    Signed,
    /// OCP E4M3.
    Fp8,
    /// A table of 16 values.
    Table([f32; 16]),
}

impl Codebook {
    #[inline(always)]
    pub(super) fn value(&self, code: u8) -> f32 {
        match self {
            Codebook::Unsigned { less } => (i32::from(code) - less) as f32,
            Codebook::Signed => f32::from(code as i8),
            Codebook::Fp8 => FP8[usize::from(code)],
            Codebook::Table(values) => values[usize::from(code & 15)],
        }
    }
}

/// Which columns share a scale.
#[derive(Clone, Debug)]
pub(super) enum Groups {
    /// So many that follow one another; the last may be fewer.
    Columns(usize),
    /// The group of each column, in any order.
    Listed(Vec<u32>),
    /// So many weights of the whole tensor, on from row to row.
    Flat(usize),
}

/// Codes, and what is subtracted from each.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    pub(super) array: CodeArray,
    /// Whether the array is `[cols, rows]`.
    pub(super) transposed: bool,
    pub(super) book: Codebook,
}

/// The zero point of each group of each row.
#[derive(Clone, Debug)]
pub(super) struct ZeroPoints {
    pub(super) array: CodeArray,
    /// Whether the array is `[groups, rows]`.
    pub(super) transposed: bool,
    /// What a stored one stands for.
    pub(super) book: Codebook,
}

impl ZeroPoints {
    pub(super) fn at(&self, row: usize, group: usize) -> f32 {
        self.book.value(self.code_at(row, group))
    }

    /// The code of a zero point.
    pub(super) fn code_at(&self, row: usize, group: usize) -> u8 {
        if self.transposed { self.array.at(group, row) } else { self.array.at(row, group) }
    }
}

/// A quantized weight: `(value of the code − zero point) · scale`, in f32, and `· factor` where there is one.
#[derive(Clone, Debug)]
pub(in crate::import) struct GridWeight {
    pub(super) shape: [u64; 2],
    pub(super) codes: Codes,
    pub(super) zeros: Option<ZeroPoints>,
    pub(super) scales: Scales,
    pub(super) groups: Groups,
    /// What products are multiplied by once more.
    pub(super) factor: Option<f32>,
}

impl GridWeight {
    pub(in crate::import) fn shape(&self) -> &[u64] {
        &self.shape
    }

    pub(in crate::import) fn cols(&self) -> usize {
        self.shape[1] as usize
    }

    /// Every tensor that the values follow from.
    pub(in crate::import) fn tensors(&self) -> impl Iterator<Item = &StoredTensor> {
        let zeros = self.zeros.iter().map(|zeros| zeros.array.tensor());
        [self.codes.array.tensor()].into_iter().chain(zeros).chain(self.scales.tensors())
    }

    /// The groups that the columns of a row belong to.
    pub(super) fn groups_of_row(&self, row: usize) -> std::ops::Range<usize> {
        let cols = self.cols();
        match &self.groups {
            Groups::Columns(size) => 0..cols.div_ceil(*size),
            Groups::Listed(groups) => 0..groups.iter().max().map_or(0, |most| *most as usize + 1),
            Groups::Flat(size) => row * cols / size..((row + 1) * cols).div_ceil(*size),
        }
    }

    /// The code at a place.
    #[inline(always)]
    pub(super) fn code(&self, row: usize, col: usize) -> u8 {
        let Codes { array, transposed, .. } = &self.codes;
        if *transposed { array.at(col, row) } else { array.at(row, col) }
    }

    fn read_row(&self, row: usize, scratch: &mut Vec<(f32, f32)>, out: &mut [f32]) {
        let groups = self.groups_of_row(row);
        let zero = |group| self.zeros.as_ref().map_or(0.0, |zeros| zeros.at(row, group));
        scratch.clear();
        scratch.extend(groups.clone().map(|group| (zero(group), self.scales.at(row, group))));
        let value = |col: usize, (zero, scale): (f32, f32)| {
            (self.codes.book.value(self.code(row, col)) - zero) * scale
        };
        match &self.groups {
            Groups::Columns(size) => {
                for ((group, out), &grid) in out.chunks_mut(*size).enumerate().zip(&*scratch) {
                    out.iter_mut().enumerate().for_each(|(i, x)| *x = value(group * size + i, grid));
                }
            }
            Groups::Listed(of) => {
                out.iter_mut().enumerate().for_each(|(col, x)| *x = value(col, scratch[of[col] as usize]));
            }
            Groups::Flat(size) => {
                let group = |col: usize| (row * self.cols() + col) / size - groups.start;
                out.iter_mut().enumerate().for_each(|(col, x)| *x = value(col, scratch[group(col)]));
            }
        }
        if let Some(factor) = self.factor {
            out.iter_mut().for_each(|x| *x *= factor);
        }
    }
}

impl RowSource for GridWeight {
    fn read(&self, first: usize, out: &mut [f32]) {
        let mut scratch = Vec::new();
        for (row, out) in (first..).zip(out.chunks_mut(self.cols())) {
            self.read_row(row, &mut scratch, out);
        }
    }
}
