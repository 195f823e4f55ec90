//! Packed layouts: how the arrays of an encoded tensor are ordered for a kernel.

use serde::{Deserialize, Serialize};

use crate::{Component, ComponentSpec, Format};

/// Rows of one tile of [`Layout::Rows16`] and [`Layout::MmaFragments`].
pub const TILE_ROWS: u64 = 16;
/// Bytes of the values of one tile of [`Layout::MmaFragments`].
pub const FRAGMENT_BYTES: u64 = 512;
/// Columns that a tensor in [`Layout::MmaFragments`] has a multiple of.
const FRAGMENT_COLUMNS: u64 = 64;

/// The order in which a kernel finds codes and scales. A layout changes order and padding, never values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// As the format defines it: rows (output channels) one after another.
    RowMajor,
    /// Tiles of 16 rows, the last padded with zero codes; within a tile the 16 rows of one column lie side
    /// by side, so that one vector holds one column of 16 outputs. 4-bit codes: the byte `i` of a column
    /// pair's 16 bytes holds row `i`, column `2j` in the high nibble and `2j + 1` in the low one; the bytes
    /// of a run of wider codes (see [`Format::run`]) are tiled the same way. So are arrays per row and group (absmax
    /// codes, scales of groups); zero points take a byte each.
    Rows16,
    /// As matrix units of GPUs take an operand of 16 rows and 16 columns, so that one 16-byte load brings a lane all that
    /// it needs. Tiles of 16 rows, the last padded with zero codes, and of 64 columns of 4-bit codes, 32 of 8-bit codes or
    /// 16 of 16-bit values follow one another along the columns, then the rows. A tile is 32 lanes of 16 bytes. Lane
    /// `4g + t` holds, for each 16 columns in order: columns `2t` and `2t + 1` of row `g`, then of row `g + 8`, then columns
    /// `2t + 8` and `2t + 9` of row `g`, then of row `g + 8`; 4-bit codes with the first in the low nibble. Arrays per row
    /// and group as in `rows16`. Holds formats with codes of 4, 8 or 16 bits and no outliers, in multiples of 64 columns.
    #[serde(rename = "fragments")]
    MmaFragments,
}

impl Layout {
    /// What the columns of a tensor of `format` must be a multiple of; `None` if this layout cannot hold the format.
    pub const fn column_multiple(self, format: Format) -> Option<u64> {
        match (self, format) {
            (Layout::RowMajor | Layout::Rows16, _) => Some(format.column_multiple()),
            (Layout::MmaFragments, Format::Int8 { outliers: true }) => None,
            (Layout::MmaFragments, _) => match format.code_bits() {
                // The multiples of the formats are 1, 64 and 128.
                4 | 8 | 16 if format.column_multiple() > FRAGMENT_COLUMNS => Some(format.column_multiple()),
                4 | 8 | 16 => Some(FRAGMENT_COLUMNS),
                _ => None,
            },
        }
    }

    /// Whether this layout can hold a tensor of `format` with so many columns.
    pub const fn holds(self, format: Format, cols: u64) -> bool {
        matches!(self.column_multiple(format), Some(multiple) if cols.is_multiple_of(multiple))
    }

    /// The arrays that a `[rows, cols]` tensor of `format` is stored as in this layout. Shapes in
    /// [`Layout::Rows16`] are `[tiles, columns or groups, bytes or elements of 16 rows]`; values in [`Layout::MmaFragments`]
    /// `[tiles of rows, tiles of columns, elements of 512 bytes]`. What a layout does not hold (see [`Layout::holds`]) has
    /// the shapes of [`Layout::RowMajor`].
    pub fn components(self, format: Format, rows: u64, cols: u64, outliers: u64) -> Vec<ComponentSpec> {
        let mut specs = format.components(rows, cols, outliers);
        if self != Layout::RowMajor && self.holds(format, cols) {
            for spec in &mut specs {
                match spec.component {
                    Component::Values if self == Layout::MmaFragments => fragment(spec, format, rows, cols),
                    _ => tile(spec, format, rows, cols),
                }
            }
        }
        specs
    }

    /// Bytes of a `[rows, cols]` tensor with all its scales in this layout, without outlier columns.
    pub fn bytes(self, format: Format, rows: u64, cols: u64) -> u64 {
        self.bytes_with(format, rows, cols, 0)
    }

    /// The same with so many outlier columns, which only count for formats that keep them apart.
    pub fn bytes_with(self, format: Format, rows: u64, cols: u64, outliers: u64) -> u64 {
        self.components(format, rows, cols, outliers).iter().map(ComponentSpec::bytes).sum()
    }
}

/// The shape of values in [`Layout::MmaFragments`].
fn fragment(spec: &mut ComponentSpec, format: Format, rows: u64, cols: u64) {
    let tile_cols = FRAGMENT_BYTES * 8 / (TILE_ROWS * format.code_bits());
    spec.shape = vec![rows.div_ceil(TILE_ROWS), cols / tile_cols, FRAGMENT_BYTES / spec.dtype.bytes()];
}

/// Turns a row-major shape into the shape of 16-row tiles.
fn tile(spec: &mut ComponentSpec, format: Format, rows: u64, cols: u64) {
    let tiles = rows.div_ceil(TILE_ROWS);
    match (spec.component, format) {
        (Component::Values | Component::AbsmaxCodes, _) => {
            spec.shape = vec![tiles, spec.shape[1], TILE_ROWS];
        }
        (Component::Scales, _) if format.group().is_some() => {
            spec.shape = vec![tiles, spec.shape[1], TILE_ROWS];
        }
        (Component::ZeroPoints, Format::Int4 { group, .. }) => {
            spec.shape = vec![tiles, cols / group.size(), TILE_ROWS];
        }
        _ => {}
    }
}

crate::named_enum! {
    Layout, "layout", ParseLayoutError {
        (Layout::RowMajor) => "row_major",
        (Layout::Rows16) => "rows16",
        (Layout::MmaFragments) => "fragments",
    }
}
