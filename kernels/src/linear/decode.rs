//! Reading the codes of 16-row tiles into lanes, one decoder for each family of formats.

use crate::{
    encoded::EncodedRef,
    format::{ABSMAX_MAP, codes_in_run, table},
    simd::{LANES, Lanes},
};
use bytemuck::Pod;
use samp_abi::{ABSMAX_GROUP, BLOCK as ABI_BLOCK, Component, Group};

/// Columns that are summed before a scale is applied.
pub(super) const BLOCK: usize = ABI_BLOCK as usize;

/// Decodes one format. What comes out is the code's value without any scale; [`Decode::block`] gives the scale of a
/// block of [`BLOCK`] columns, and channel scales come last (see [`super::epilogue`]).
pub(super) trait Decode: Copy + Sync {
    /// The codes of 16 rows in [`Decode::COLUMNS`] columns.
    type Codes: Pod + Sync;
    /// Columns that lie together, see [`samp_abi::Format::run`].
    const COLUMNS: usize;
    /// What is kept while walking along a tile.
    type Tile: Copy;
    /// What a block's codes are decoded with.
    type Block<L: Lanes>: Copy;
    /// The values of `COLUMNS` columns.
    type Values<L: Lanes>: IntoIterator<Item = L::F>;

    /// Starts at the left of a tile.
    fn tile(self, tile: usize) -> Self::Tile;
    /// The scale of each row in a block and what its codes are decoded with; blocks are visited in order.
    fn block<L: Lanes>(self, l: L, tile: &mut Self::Tile, block: usize) -> (L::F, Self::Block<L>);
    /// The values of `COLUMNS` columns.
    fn decode<L: Lanes>(l: L, block: Self::Block<L>, codes: &Self::Codes) -> Self::Values<L>;
}

/// A weight of 16-row tiles and how to decode it.
#[derive(Clone, Copy)]
pub(super) struct Weight<'a, D: Decode> {
    codes: &'a [D::Codes],
    pub(super) decoder: D,
    pub(super) cols: usize,
}

impl<'a, D: Decode> Weight<'a, D> {
    pub(super) fn new(weight: &EncodedRef<'a>, decoder: D) -> Weight<'a, D> {
        Weight { codes: weight.part_as(Component::Values), decoder, cols: weight.cols }
    }

    /// The codes of `columns` columns from `first` on in a tile.
    #[inline(always)]
    pub(super) fn codes(&self, tile: usize, first: usize, columns: usize) -> &'a [D::Codes] {
        let start = (tile * self.cols + first) / D::COLUMNS;
        &self.codes[start..][..columns / D::COLUMNS]
    }
}

/// How far ahead of what is computed memory is asked for codes, in bytes: some hundred nanoseconds at the rate of memory.
const AHEAD: usize = 2048;

/// Asks memory for what lies ahead of the codes of a block. Several tiles are read side by side, which the machine's own
/// prefetching does not keep up with.
#[inline(always)]
pub(super) fn prefetch<L: Lanes, C: ?Sized>(l: L, codes: &C) {
    prefetch_lines(l, std::ptr::from_ref(codes).cast::<u8>().wrapping_add(AHEAD), size_of_val(codes));
}

/// Asks memory for the cache lines of so many bytes, which need not be anyone's.
#[inline(always)]
pub(super) fn prefetch_lines<L: Lanes>(l: L, start: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(CACHE_LINE) {
        l.prefetch(start.wrapping_add(line));
    }
}

/// Bytes that memory gives at once.
const CACHE_LINE: usize = 64;

/// A decoder without scales whose codes are loaded by one operation of [`Lanes`].
macro_rules! plain {
    ($(#[$doc:meta])* $name:ident, $codes:ty, $load:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl Decode for $name {
            type Codes = $codes;
            const COLUMNS: usize = 1;
            type Tile = ();
            type Block<L: Lanes> = ();
            type Values<L: Lanes> = [L::F; 1];

            #[inline(always)]
            fn tile(self, _: usize) {}

            #[inline(always)]
            fn block<L: Lanes>(self, l: L, _: &mut (), _: usize) -> (L::F, ()) {
                (l.splat(1.0), ())
            }

            #[inline(always)]
            fn decode<L: Lanes>(l: L, _: (), codes: &$codes) -> [L::F; 1] {
                [l.$load(codes)]
            }
        }
    };
}

plain!(/// f32.
    F32, [f32; LANES], load);
plain!(/// f16.
    F16, [u16; LANES], load_f16);
plain!(/// bf16.
    Bf16, [u16; LANES], load_bf16);
plain!(/// fp8, in units of [`crate::simd::FP8_UNIT`].
    Fp8, [u8; LANES], load_fp8);
plain!(/// int8.
    Int8, [u8; LANES], load_i8);

/// int4: codes through a table, less the zero point, times an f16 scale per group.
#[derive(Clone, Copy)]
pub(super) struct Int4<'a> {
    pub(super) table: &'static [f32; LANES],
    scales: &'a [[u16; LANES]],
    /// Empty for symmetric codes.
    zero_points: &'a [[u8; LANES]],
    groups: usize,
    blocks_per_group: usize,
}

const UNSIGNED: [f32; LANES] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
const SIGNED: [f32; LANES] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0];

impl<'a> Int4<'a> {
    pub(super) fn new(weight: &EncodedRef<'a>, group: Group, zero_point: bool) -> Int4<'a> {
        let group = group.size() as usize;
        Int4 {
            table: if zero_point { &UNSIGNED } else { &SIGNED },
            scales: weight.part_as(Component::Scales),
            zero_points: weight.part_as(Component::ZeroPoints),
            groups: weight.cols / group,
            blocks_per_group: group / BLOCK,
        }
    }
}

impl Int4<'_> {
    pub(super) fn has_zero_points(&self) -> bool {
        !self.zero_points.is_empty()
    }
}

impl Decode for Int4<'_> {
    type Codes = [u8; LANES];
    const COLUMNS: usize = 2;
    type Tile = usize;
    type Block<L: Lanes> = (L::Table, L::F);
    type Values<L: Lanes> = [L::F; 2];

    #[inline(always)]
    fn tile(self, tile: usize) -> usize {
        tile
    }

    #[inline(always)]
    fn block<L: Lanes>(self, l: L, tile: &mut usize, block: usize) -> (L::F, (L::Table, L::F)) {
        let group = *tile * self.groups + block / self.blocks_per_group;
        // Subtracting a zero point of 0 changes no bit, so symmetric codes need no decoder of their own.
        let zero_point = self.zero_points.get(group).map_or(l.splat(0.0), |z| l.load_i8(z));
        (l.load_f16(&self.scales[group]), (l.table(self.table), zero_point))
    }

    #[inline(always)]
    fn decode<L: Lanes>(l: L, (table, zero_point): (L::Table, L::F), codes: &[u8; LANES]) -> [L::F; 2] {
        let [first, second] = l.lookup(table, codes);
        [l.sub(first, zero_point), l.sub(second, zero_point)]
    }
}

/// A decoder of integers whose codes lie in runs of `$columns` columns in `$bytes` bytes, times an f16 scale per group.
macro_rules! runs {
    ($(#[$doc:meta])* $name:ident, $bits:literal, $columns:literal, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name<'a> {
            scales: &'a [[u16; LANES]],
            groups: usize,
            blocks_per_group: usize,
        }

        impl<'a> $name<'a> {
            pub(super) fn new(weight: &EncodedRef<'a>) -> $name<'a> {
                let group = weight.format.column_multiple() as usize;
                $name {
                    scales: weight.part_as(Component::Scales),
                    groups: weight.cols / group,
                    blocks_per_group: group / BLOCK,
                }
            }
        }

        impl Decode for $name<'_> {
            type Codes = [[u8; LANES]; $bytes];
            const COLUMNS: usize = $columns;
            type Tile = usize;
            type Block<L: Lanes> = ();
            type Values<L: Lanes> = [L::F; $columns];

            #[inline(always)]
            fn tile(self, tile: usize) -> usize {
                tile
            }

            #[inline(always)]
            fn block<L: Lanes>(self, l: L, tile: &mut usize, block: usize) -> (L::F, ()) {
                (l.load_f16(&self.scales[*tile * self.groups + block / self.blocks_per_group]), ())
            }

            #[inline(always)]
            fn decode<L: Lanes>(l: L, (): (), codes: &Self::Codes) -> [L::F; $columns] {
                let high = &codes[$bytes - 1];
                // No closure, which would not be compiled for the vectors of `L`.
                let mut values = [l.load_i8(&codes_in_run::<$bits>(&codes[0], high, 0)); $columns];
                for (column, value) in values.iter_mut().enumerate().skip(1) {
                    *value = l.load_i8(&codes_in_run::<$bits>(&codes[column / 2], high, column));
                }
                values
            }
        }
    };
}

runs!(/// int5.
    Int5, 5, 8, 5);
runs!(/// int6.
    Int6, 6, 4, 3);

/// nf4 and fp4: codes through the format's table, times the double-quantized absmax of the block.
#[derive(Clone, Copy)]
pub(super) struct Float4<'a> {
    pub(super) table: &'static [f32; LANES],
    codes: &'a [[u8; LANES]],
    group_scales: &'a [f32],
    offset: f32,
    blocks: usize,
}

/// The group scales of a tile's rows, which stay the same for many blocks.
#[derive(Clone, Copy)]
pub(super) struct GroupScales {
    tile: usize,
    scales: [f32; LANES],
    /// The first block for which they no longer hold.
    until: usize,
}

impl<'a> Float4<'a> {
    pub(super) fn new(weight: &EncodedRef<'a>) -> Float4<'a> {
        Float4 {
            table: table(weight.format),
            codes: weight.part_as(Component::AbsmaxCodes),
            group_scales: weight.part_as(Component::AbsmaxScales),
            offset: weight.part_as(Component::AbsmaxOffset)[0],
            blocks: weight.cols / BLOCK,
        }
    }

    /// Groups run along the rows of the whole tensor, so every row has its own and changes it in its own place.
    #[inline(never)]
    fn group_scales(&self, tile: usize, block: usize) -> GroupScales {
        let group = ABSMAX_GROUP as usize;
        let mut next = GroupScales { tile, scales: [0.0; LANES], until: self.blocks };
        for (lane, scale) in next.scales.iter_mut().enumerate() {
            let index = (tile * LANES + lane) * self.blocks + block;
            // Padding rows lie beyond the last group; their results are dropped.
            *scale = self.group_scales[(index / group).min(self.group_scales.len() - 1)];
            next.until = next.until.min(block + group - index % group);
        }
        next
    }
}

impl Decode for Float4<'_> {
    type Codes = [u8; LANES];
    const COLUMNS: usize = 2;
    type Tile = GroupScales;
    type Block<L: Lanes> = L::Table;
    type Values<L: Lanes> = [L::F; 2];

    #[inline(always)]
    fn tile(self, tile: usize) -> GroupScales {
        GroupScales { tile, scales: [0.0; LANES], until: 0 }
    }

    #[inline(always)]
    fn block<L: Lanes>(self, l: L, tile: &mut GroupScales, block: usize) -> (L::F, L::Table) {
        if block >= tile.until {
            *tile = self.group_scales(tile.tile, block);
        }
        let code = l.gather(&ABSMAX_MAP, &self.codes[tile.tile * self.blocks + block]);
        let absmax = l.add(l.mul(code, l.load(&tile.scales)), l.splat(self.offset));
        (absmax, l.table(self.table))
    }

    #[inline(always)]
    fn decode<L: Lanes>(l: L, table: L::Table, codes: &[u8; LANES]) -> [L::F; 2] {
        l.lookup(table, codes)
    }
}
