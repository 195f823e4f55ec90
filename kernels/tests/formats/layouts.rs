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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn unpack_undoes_pack(rows in 1usize..70, blocks in 1usize..4, seed: u64) {
        for format in Format::ALL {
            let plain = encoded(format, rows, blocks, seed);
            for layout in Layout::ALL {
                let packed = pack(plain.view(), layout);
                prop_assert_eq!(packed.view().check(), Ok(()));
                prop_assert_eq!((packed.format, packed.layout), (format, layout));
                prop_assert!(bytes(&unpack(packed.view())) == bytes(&plain), "{format} in {layout}");
                prop_assert!(bytes(&pack(packed.view(), layout)) == bytes(&packed), "{format} in {layout}");
            }
        }
    }

    #[test]
    fn every_layout_decodes_alike(rows in 1usize..70, blocks in 1usize..4, seed: u64, row: prop::sample::Index) {
        for format in Format::ALL {
            let plain = encoded(format, rows, blocks, seed);
            let packed = pack(plain.view(), Layout::Rows16);
            let all = decode(&plain);
            prop_assert_eq!(&decode(&packed), &all);
            let row = row.index(rows);
            let mut one = vec![f32::NAN; plain.cols];
            decode_rows(packed.view(), row, &mut one);
            prop_assert_eq!(&one[..], &all[row * plain.cols..][..plain.cols]);
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
