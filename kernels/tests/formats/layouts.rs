//! Pack and unpack, and decoding in every layout.

use proptest::prelude::*;
use samp_abi::{Component, Format, Layout, TILE_ROWS};
use samp_kernels::{
    encoded::Encoded,
    format::{decode_rows, encode},
    layout::{pack, unpack},
};

use super::{bytes, decode, properties::random_matrix};

fn encoded(format: Format, rows: usize, blocks: usize, seed: u64) -> Encoded {
    let input = random_matrix(rows, blocks * 128, seed, 0);
    encode(format, rows, input.cols, &input, &[0, 5, input.cols as u32 - 1]).unwrap()
}

/// The layouts that hold a format in multiples of 128 columns.
fn layouts(format: Format) -> impl Iterator<Item = Layout> {
    Layout::ALL.into_iter().filter(move |layout| layout.holds(format, 128))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn unpack_undoes_pack(rows in 1usize..70, blocks in 1usize..4, seed: u64) {
        for format in Format::ALL {
            let plain = encoded(format, rows, blocks, seed);
            for layout in layouts(format) {
                let packed = pack(plain.view(), layout);
                prop_assert_eq!(packed.view().check(), Ok(()));
                prop_assert_eq!((packed.format, packed.layout), (format, layout));
                prop_assert!(bytes(&unpack(packed.view())) == bytes(&plain), "{format} in {layout}");
                for other in layouts(format) {
                    let again = pack(pack(packed.view(), other).view(), layout);
                    prop_assert!(bytes(&again) == bytes(&packed), "{format} in {layout}, by {other}");
                }
            }
        }
    }

    #[test]
    fn every_layout_decodes_alike(rows in 1usize..70, blocks in 1usize..4, seed: u64, row: prop::sample::Index) {
        for format in Format::ALL {
            let plain = encoded(format, rows, blocks, seed);
            let all = decode(&plain);
            for layout in layouts(format) {
                let packed = pack(plain.view(), layout);
                prop_assert_eq!(&decode(&packed), &all);
                let row = row.index(rows);
                let mut one = vec![f32::NAN; plain.cols];
                decode_rows(packed.view(), row, &mut one);
                prop_assert_eq!(&one[..], &all[row * plain.cols..][..plain.cols]);
            }
        }
    }
}

/// The order that `Layout::Rows16` documents, element by element.
#[test]
fn rows16_is_as_documented() {
    let (rows, cols) = (21, 256);
    let plain = encoded("int4_g64_asym".parse().unwrap(), rows, 2, 7);
    let packed = pack(plain.view(), Layout::Rows16);
    let tile = TILE_ROWS as usize;
    let part = |component| (plain.view().part(component), packed.view().part(component));
    let (values, tiled) = part(Component::Values);
    let (zeros, tiled_zeros) = part(Component::ZeroPoints);
    let scales: [&[u16]; 2] = [&plain, &packed].map(|t| t.view().part_as(Component::Scales));
    for row in 0..2 * tile {
        for pair in 0..cols / 2 {
            let expected = if row < rows { values[row * cols / 2 + pair] } else { 0 };
            assert_eq!(tiled[(row / tile * cols / 2 + pair) * tile + row % tile], expected);
        }
        for group in 0..cols / 64 {
            let (from, to) = (row * cols / 64 + group, (row / tile * cols / 64 + group) * tile + row % tile);
            let zero = if row >= rows { 0 } else { zeros[from / 2] >> (4 - from % 2 * 4) & 15 };
            assert_eq!(tiled_zeros[to], zero);
            assert_eq!(scales[1][to], if row < rows { scales[0][from] } else { 0 });
        }
    }
}

/// The order that `Layout::MmaFragments` documents, element by element, for codes of 4, 8 and 16 bits.
#[test]
fn fragments_are_as_documented() {
    let (rows, blocks) = (21, 2);
    for name in ["nf4", "int8", "f16"] {
        let plain = encoded(name.parse().unwrap(), rows, blocks, 11);
        let packed = pack(plain.view(), Layout::MmaFragments);
        let bits = plain.format.code_bits() as usize;
        let (values, tiled) = (plain.view().part(Component::Values), packed.view().part(Component::Values));
        // The element at an index of an array; 4-bit codes with the first of a byte in its high or its low half.
        let element = |bytes: &[u8], index: usize, first_is_high: bool| match bits {
            4 if index.is_multiple_of(2) == first_is_high => vec![bytes[index / 2] >> 4],
            4 => vec![bytes[index / 2] & 15],
            _ => bytes[index * bits / 8..][..bits / 8].to_vec(),
        };
        let tile_cols = 512 * 8 / (16 * bits);
        let mut index = 0;
        for tile_row in 0..2 {
            for tile_col in 0..plain.cols / tile_cols {
                for lane in 0..32 {
                    for (step, pair, half) in (0..tile_cols / 16 * 8).map(|e| (e / 8, e % 8 / 2, e % 2)) {
                        let row = tile_row * 16 + lane / 4 + pair % 2 * 8;
                        let col = tile_col * tile_cols + step * 16 + lane % 4 * 2 + pair / 2 * 8 + half;
                        let found = element(tiled, index, false);
                        index += 1;
                        if row < rows {
                            let expected = element(values, row * plain.cols + col, true);
                            assert_eq!(found, expected, "{name} row {row}, column {col}");
                        } else {
                            assert!(found.iter().all(|&byte| byte == 0), "{name} row {row} is padding");
                        }
                    }
                }
            }
        }
        assert_eq!(index * bits, tiled.len() * 8);
    }
}

#[test]
fn what_fragments_cannot_hold() {
    for (name, cols, held) in [
        ("f32", 64, false),
        ("int5", 128, false),
        ("int8_outliers", 64, false),
        ("fp8", 96, false),
        ("int4", 64, false),
        ("int4_g64", 64, true),
        ("bf16", 64, true),
    ] {
        assert_eq!(Layout::MmaFragments.holds(name.parse().unwrap(), cols), held, "{name} {cols}");
    }
    let refused = Encoded::zeroed(Format::Bf16, Layout::MmaFragments, 3, 32, 0);
    let text = refused.view().check().unwrap_err().to_string();
    assert_eq!(text, "bf16 with 32 columns cannot be stored as fragments");
}
