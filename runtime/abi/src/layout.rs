//! Packed layouts: how the arrays of an encoded tensor are ordered for a kernel.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Component, ComponentSpec, Format};

/// Rows of one tile of [`Layout::Rows16`].
pub const TILE_ROWS: u64 = 16;

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
}

impl Layout {
    /// Every layout.
    pub const ALL: [Layout; 2] = [Layout::RowMajor, Layout::Rows16];

    /// The canonical name.
    pub const fn name(self) -> &'static str {
        match self {
            Layout::RowMajor => "row_major",
            Layout::Rows16 => "rows16",
        }
    }

    /// The arrays that a `[rows, cols]` tensor of `format` is stored as in this layout. Shapes in
    /// [`Layout::Rows16`] are `[tiles, columns or groups, bytes or elements of 16 rows]`.
    pub fn components(self, format: Format, rows: u64, cols: u64, outliers: u64) -> Vec<ComponentSpec> {
        let mut specs = format.components(rows, cols, outliers);
        if self == Layout::Rows16 {
            for spec in &mut specs {
                tile(spec, format, rows, cols);
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

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A layout name that samp does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown layout `{0}`; known are row_major, rows16")]
pub struct ParseLayoutError(pub String);

impl FromStr for Layout {
    type Err = ParseLayoutError;

    fn from_str(text: &str) -> Result<Layout, ParseLayoutError> {
        Layout::ALL.into_iter().find(|l| l.name() == text).ok_or_else(|| ParseLayoutError(text.into()))
    }
}
