//! What follows the sum over columns: the channel scale, the outlier columns, the bias.

use crate::{
    args::LinearArgs,
    parallel::Scatter,
    simd::{FP8_UNIT, Job, LANES, Lanes},
};
use samp_abi::{Component, Format};
use std::ops::Range;

/// The last steps of a linear: `out = total · scale + Σ outlier · x + bias`, in this order.
pub(super) struct Epilogue<'a> {
    rows: usize,
    /// One scale for each row, one for all, or none.
    scales: &'a [f32],
    unit: f32,
    outlier_columns: &'a [u32],
    outlier_values: &'a [u16],
    bias: &'a [f32],
}

/// The last steps for the 16 rows of a tile.
struct TileEpilogue {
    first_row: usize,
    /// Rows of the tile that are not padding.
    rows: usize,
    scale: [f32; LANES],
    bias: [f32; LANES],
    /// By column, as the sums are.
    outlier_values: Vec<[f32; LANES]>,
}

impl<'a> Epilogue<'a> {
    pub(super) fn new(args: &LinearArgs<'a>) -> Epilogue<'a> {
        let weight = &args.weight;
        Epilogue {
            rows: weight.rows,
            // Scales of groups of columns are applied along the way.
            scales: if weight.format.group().is_some() { &[] } else { weight.part_as(Component::Scales) },
            unit: if matches!(weight.format, Format::Fp8E4m3(_)) { FP8_UNIT } else { 1.0 },
            outlier_columns: weight.part_as(Component::OutlierColumns),
            outlier_values: weight.part_as(Component::OutlierValues),
            bias: args.bias.unwrap_or(&[]),
        }
    }

    /// For sums of integers that are values times `unit`.
    pub(super) fn in_units_of(self, unit: f32) -> Epilogue<'a> {
        Epilogue { unit: self.unit / unit, ..self }
    }

    /// Gathers what tile `tile` needs.
    #[inline(always)]
    fn tile<L: Lanes>(&self, l: L, tile: usize) -> TileEpilogue {
        let first_row = tile * LANES;
        let rows = LANES.min(self.rows - first_row);
        let mut epilogue = TileEpilogue {
            first_row,
            rows,
            scale: [self.unit * self.scales.first().copied().unwrap_or(1.0); LANES],
            bias: [0.0; LANES],
            outlier_values: vec![[0.0; LANES]; self.outlier_columns.len()],
        };
        if self.scales.len() > 1 {
            for (to, scale) in epilogue.scale.iter_mut().zip(&self.scales[first_row..][..rows]) {
                *to = self.unit * scale;
            }
        }
        if !self.bias.is_empty() {
            epilogue.bias[..rows].copy_from_slice(&self.bias[first_row..][..rows]);
        }
        self.transpose_outliers(l, &mut epilogue);
        epilogue
    }

    /// Outlier values lie row by row; the tile wants column by column.
    #[inline(always)]
    fn transpose_outliers<L: Lanes>(&self, l: L, epilogue: &mut TileEpilogue) {
        let columns = self.outlier_columns.len();
        for row in 0..if columns == 0 { 0 } else { epilogue.rows } {
            let values = &self.outlier_values[(epilogue.first_row + row) * columns..][..columns];
            for (values, to) in values.chunks(LANES).zip(epilogue.outlier_values.chunks_mut(LANES)) {
                let mut bits = [0; LANES];
                bits[..values.len()].copy_from_slice(values);
                let mut decoded = [0.0; LANES];
                l.store(l.load_f16(&bits), &mut decoded);
                for (to, value) in to.iter_mut().zip(decoded) {
                    to[row] = value;
                }
            }
        }
    }
}

/// Finishes the sums of some tiles and writes them to the result.
pub(super) struct Write<'a> {
    pub(super) epilogue: &'a Epilogue<'a>,
    pub(super) tiles: Range<usize>,
    /// `[tiles, tokens]`.
    pub(super) totals: &'a [[f32; LANES]],
    /// `[tokens, cols]`.
    pub(super) x: &'a [f32],
    pub(super) cols: usize,
    pub(super) out: &'a Scatter<'a>,
}

impl Job for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Write { epilogue, tiles, totals, x, cols, out } = self;
        let tokens = x.len() / cols;
        let tiles: Vec<TileEpilogue> = tiles.map(|tile| epilogue.tile(l, tile)).collect();
        for (token, x) in x.chunks_exact(cols).enumerate() {
            for (tile, totals) in tiles.iter().zip(totals.chunks_exact(tokens)) {
                let mut value = l.mul(l.load(&totals[token]), l.load(&tile.scale));
                for (column, weight) in epilogue.outlier_columns.iter().zip(&tile.outlier_values) {
                    value = l.mul_add(l.load(weight), l.splat(x[*column as usize]), value);
                }
                let mut row = [0.0; LANES];
                l.store(l.add(value, l.load(&tile.bias)), &mut row);
                let at = token * epilogue.rows + tile.first_row;
                // SAFETY: each tile is given to one thread, which alone writes the tile's rows.
                unsafe { out.write(at, &row[..tile.rows]) }
            }
        }
    }
}
