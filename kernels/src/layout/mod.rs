//! Packed layouts: pack and unpack between row-major and a kernel's order.
//!
//! Both move whole elements and never look at their values. Arrays without one element for each row and column or group
//! (scales of channels, absmax scales, outliers) are the same in every layout.

pub(crate) mod fragments;

use bytemuck::Pod;
use rayon::prelude::*;
use samp_abi::{Component, Layout, TILE_ROWS};

use crate::encoded::{Encoded, EncodedRef};

const TILE: usize = TILE_ROWS as usize;
/// Columns that are moved before the next row's, so that the tile's part being written stays in the first cache.
const COLUMNS: usize = 64;

/// Reorders a tensor into `layout`, in parallel over tiles. Takes the memory of the result and no more; between two packed
/// layouts, that of a row-major copy too. Panics if an array is not of its size, see [`EncodedRef::check`], or if the layout
/// does not hold such a tensor, see [`Layout::holds`].
pub fn pack(tensor: EncodedRef<'_>, layout: Layout) -> Encoded {
    let held = layout.holds(tensor.format, tensor.cols as u64);
    assert!(held, "{} with {} columns cannot be stored as {layout}", tensor.format, tensor.cols);
    if ![tensor.layout, layout].contains(&Layout::RowMajor) && tensor.layout != layout {
        return pack(pack(tensor, Layout::RowMajor).view(), layout);
    }
    let outliers = tensor.part(Component::OutlierColumns).len() / 4;
    let (rows, cols) = (tensor.rows, tensor.cols);
    let mut packed = Encoded::zeroed(tensor.format, layout, rows, cols, outliers);
    let fragments = [tensor.layout, layout].contains(&Layout::MmaFragments);
    let tiled = Layout::Rows16.components(tensor.format, rows as u64, cols as u64, outliers as u64);
    for (spec, (component, to)) in tiled.iter().zip(&mut packed.parts) {
        let from = tensor.part(*component);
        match spec.shape[..] {
            _ if *component == Component::Values && fragments && tensor.layout != layout => {
                fragments::reorder(tensor.format, cols, from, to, layout == Layout::MmaFragments);
            }
            [_, width, TILE_ROWS] if tensor.layout != layout && !to.is_empty() => {
                let reorder = Reorder { to_tiles: layout != Layout::RowMajor, width: width as usize };
                match (*component, spec.dtype.bytes()) {
                    (Component::ZeroPoints, _) => reorder.nibbles(from, to, rows),
                    (_, 1) => reorder.elements::<u8>(from, to),
                    (_, 2) => reorder.elements::<u16>(from, to),
                    _ => reorder.elements::<u32>(from, to),
                }
            }
            _ => to.copy_from_slice(from),
        }
    }
    packed
}

/// Reorders a tensor back into row-major; padding is dropped. `unpack(pack(t, l)) == t` byte for byte.
pub fn unpack(tensor: EncodedRef<'_>) -> Encoded {
    pack(tensor, Layout::RowMajor)
}

/// A move between rows of `width` elements and tiles of 16 rows side by side.
struct Reorder {
    to_tiles: bool,
    width: usize,
}

impl Reorder {
    fn elements<T: Pod + Send + Sync>(&self, from: &[u8], to: &mut [u8]) {
        let (from, to): (&[T], &mut [T]) = (bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to));
        let size = TILE * self.width;
        // The row-major side of the last tile may be shorter: padding is never written nor read.
        to.par_chunks_mut(size).zip(from.par_chunks(size)).for_each(|(to, from)| {
            let rows = to.len().min(from.len()) / self.width;
            let squares = if rows == TILE { self.squares(from, to) } else { 0 };
            for first in (squares..self.width).step_by(COLUMNS) {
                let columns = first..self.width.min(first + COLUMNS);
                for row in 0..rows {
                    for column in columns.clone() {
                        let (plain, tiled) = (row * self.width + column, column * TILE + row);
                        if self.to_tiles {
                            to[tiled] = from[plain];
                        } else {
                            to[plain] = from[tiled];
                        }
                    }
                }
            }
        });
    }

    /// Moves as many columns of a whole tile as there are in squares of 16 by 16; gives their number.
    fn squares<T: Pod>(&self, from: &[T], to: &mut [T]) -> usize {
        let whole = self.width / TILE * TILE;
        for first in (0..whole).step_by(TILE) {
            let row_start = |row: usize| row * self.width + first;
            let mut square = [[T::zeroed(); TILE]; TILE];
            if self.to_tiles {
                for (row, of) in square.iter_mut().enumerate() {
                    of.copy_from_slice(&from[row_start(row)..][..TILE]);
                }
                let tiled = &mut to[first * TILE..][..TILE * TILE];
                tiled.copy_from_slice(transposed(square).as_flattened());
            } else {
                square.as_flattened_mut().copy_from_slice(&from[first * TILE..][..TILE * TILE]);
                for (row, of) in transposed(square).iter().enumerate() {
                    to[row_start(row)..][..TILE].copy_from_slice(of);
                }
            }
        }
        whole
    }

    /// Zero points: nibbles in row-major, high half first, and a byte each in tiles.
    fn nibbles(&self, from: &[u8], to: &mut [u8], rows: usize) {
        for plain in 0..rows * self.width {
            let (row, group) = (plain / self.width, plain % self.width);
            let tiled = (row / TILE * self.width + group) * TILE + row % TILE;
            let shift = if plain.is_multiple_of(2) { 4 } else { 0 };
            if self.to_tiles {
                to[tiled] = from[plain / 2] >> shift & 15;
            } else {
                to[plain / 2] |= (from[tiled] & 15) << shift;
            }
        }
    }
}

/// The transpose of a square, by four perfect shuffles of its rows: each turns the bits of an element's place, row before
/// column, by one. A shuffle of two rows is an instruction or two on any machine with vectors.
fn transposed<T: Pod>(mut square: [[T; TILE]; TILE]) -> [[T; TILE]; TILE] {
    for _ in 0..TILE.ilog2() {
        let mut next = square;
        for (pair, i) in next.as_chunks_mut::<2>().0.iter_mut().zip(0..) {
            let (upper, lower) = (&square[i], &square[i + TILE / 2]);
            for (half, out) in pair.iter_mut().enumerate() {
                let from = half * TILE / 2;
                *out =
                    std::array::from_fn(
                        |j| if j % 2 == 0 { upper[from + j / 2] } else { lower[from + j / 2] },
                    );
            }
        }
        square = next;
    }
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_square_become_its_columns() {
        let square: [[u16; TILE]; TILE] =
            std::array::from_fn(|row| std::array::from_fn(|column| (row * TILE + column) as u16));
        let transposed = transposed(square);
        for (row, of) in transposed.iter().enumerate() {
            assert!(of.iter().enumerate().all(|(column, x)| usize::from(*x) == column * TILE + row));
        }
    }
}
