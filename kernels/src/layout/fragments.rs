//! Values in the order of [`Layout::MmaFragments`](samp_abi::Layout::MmaFragments).
//!
//! Two neighbouring columns of a row stay neighbours, so codes move in pairs: one, two or four bytes.

use rayon::prelude::*;
use samp_abi::{FRAGMENT_BYTES, Format, TILE_ROWS};

const TILE: usize = TILE_ROWS as usize;
const TILE_BYTES: usize = FRAGMENT_BYTES as usize;
/// Bytes of one of a tile's 32 lanes.
const LANE_BYTES: usize = TILE_BYTES / 32;

/// Moves values between rows and tiles, in parallel over 16 rows. Padding is neither written nor read.
pub(super) fn reorder(format: Format, cols: usize, from: &[u8], to: &mut [u8], to_tiles: bool) {
    let pairs = Pairs::of(format);
    let band = TILE * cols * pairs.bytes / 2;
    if band == 0 {
        return;
    }
    to.par_chunks_mut(band).zip(from.par_chunks(band)).for_each(|(to, from)| {
        let rows = to.len().min(from.len()) / (band / TILE);
        for row in 0..rows {
            for pair in 0..cols / 2 {
                let (plain, tiled) = ((row * cols / 2 + pair) * pairs.bytes, pairs.offset(row, pair));
                if to_tiles {
                    pairs.copy(&from[plain..], &mut to[tiled..]);
                } else {
                    pairs.copy(&from[tiled..], &mut to[plain..]);
                }
            }
        }
    });
}

/// Writes one row, as it is in row-major order, into `to`.
pub(crate) fn read_row(format: Format, cols: usize, from: &[u8], row: usize, to: &mut [u8]) {
    let pairs = Pairs::of(format);
    let band = &from[row / TILE * TILE * cols * pairs.bytes / 2..];
    for (pair, to) in to.chunks_exact_mut(pairs.bytes).enumerate() {
        pairs.copy(&band[pairs.offset(row % TILE, pair)..], to);
    }
}

/// Pairs of codes of one width.
#[derive(Clone, Copy)]
struct Pairs {
    /// Bytes of a pair.
    bytes: usize,
}

impl Pairs {
    fn of(format: Format) -> Pairs {
        Pairs { bytes: format.code_bits() as usize / 4 }
    }

    /// Where a pair of a row of the band of 16 rows lies within the band's tiles.
    fn offset(self, row: usize, pair: usize) -> usize {
        // Eight pairs make a step of 16 columns, of which a lane holds four pairs.
        let (step, within) = (pair / 8, pair % 8);
        let steps = LANE_BYTES / (4 * self.bytes);
        let lane = row % 8 * 4 + within % 4;
        let of_lane = step % steps * 4 + within / 4 * 2 + row / 8;
        step / steps * TILE_BYTES + lane * LANE_BYTES + of_lane * self.bytes
    }

    /// Copies a pair. The nibbles of 4-bit codes change places.
    fn copy(self, from: &[u8], to: &mut [u8]) {
        if self.bytes == 1 {
            to[0] = from[0].rotate_left(4);
        } else {
            to[..self.bytes].copy_from_slice(&from[..self.bytes]);
        }
    }
}
