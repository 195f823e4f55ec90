//! int4, int5 and int6: codes times an f16 scale for each group of 64 or 128 columns.
//!
//! Symmetric: codes of `b` bits in two's complement. The scale is the value of largest magnitude divided by `−2^(b−1)`,
//! so it is negative where that value is positive; that value becomes the least code and all codes are used. On Gaussian
//! groups of 128 and on real weights the squared error of int4 is 23 % below that of `absmax / 7`, which never uses −8,
//! although values of the other sign beyond 15/16 of the largest are clipped to 7.
//!
//! Asymmetric (int4 only): codes 0..=15. The scale is the range of the group, zero included, divided by 15; the zero
//! point is the code of zero, so zero stays exact.
//!
//! Codes are chosen with the scale as rounded to f16. A scale below f16's smallest number becomes that number.

use std::iter;

use half::f16;
use rayon::prelude::*;
use samp_abi::{Component, Format, Layout};

use super::{
    arithmetic::{absmax, round_ties_even},
    bit_planes::{code_in_run, pack},
    error::EncodeError,
    input::Input,
};
use crate::{
    encoded::{Encoded, EncodedRef},
    simd::{Job, LANES, Lanes, Width, run},
};

/// The value of every symmetric int4 code, without scale.
pub const INT4: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0];

/// The values that a group's codes stand for: `(code − zero) · scale` for codes from `least` to `most`.
struct Grid {
    scale: f16,
    zero: i32,
    least: i32,
    most: i32,
}

fn has_zero_points(format: Format) -> bool {
    matches!(format, Format::Int4 { zero_point: true, .. })
}

pub(super) fn encode(input: &Input) -> Result<Encoded, EncodeError> {
    let (group, bits) = (input.format.column_multiple() as usize, input.format.code_bits() as usize);
    let mut encoded = input.zeroed(0);
    let [codes, scales, zeros] =
        encoded.parts_mut([Component::Values, Component::Scales, Component::ZeroPoints]);
    let scales: &mut [f16] = bytemuck::cast_slice_mut(scales);
    let groups = input.chunk_values() / group;
    let outputs: Vec<_> = codes
        .chunks_mut(input.chunk_values() * bits / 8)
        .zip(scales.chunks_mut(groups))
        .zip(zeros.chunks_mut(groups / 2).chain(iter::repeat_with(Default::default)))
        .collect();
    input.for_each_chunk(outputs.into_par_iter(), |chunk, ((codes, scales), zeros)| {
        let groups = EncodeGroups { values: chunk.values, group, bits, codes, scales, zeros };
        let Err(at) = run(Width::detect(), groups) else { return Ok(()) };
        Err(input.overflow(chunk.first_row + at / input.cols, at % input.cols, chunk.values[at]))
    })?;
    Ok(encoded)
}

/// Encodes groups in plain loops, which are compiled for each width. Zero points are wanted where there is room for them;
/// the error is the index of a value that the scale cannot hold.
struct EncodeGroups<'a> {
    values: &'a [f32],
    group: usize,
    bits: usize,
    codes: &'a mut [u8],
    scales: &'a mut [f16],
    zeros: &'a mut [u8],
}

impl Job for EncodeGroups<'_> {
    type Output = Result<(), usize>;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> Result<(), usize> {
        let EncodeGroups { values, group, bits, codes, scales, zeros } = self;
        let zero_point = !zeros.is_empty();
        let groups = values.chunks(group).zip(codes.chunks_mut(group * bits / 8)).zip(scales);
        for (index, ((values, codes), scale)) in groups.enumerate() {
            let grid = if zero_point { asymmetric(values) } else { symmetric(values, bits) };
            if !grid.scale.is_finite() {
                let largest = absmax(values);
                return Err(index * group + values.iter().position(|x| x.abs() == largest).unwrap_or(0));
            }
            encode_group(values, &grid, (bits, codes));
            *scale = grid.scale;
            if zero_point {
                zeros[index / 2] |= high_first(index, grid.zero as u8);
            }
        }
        Ok(())
    }
}

/// A nibble at its place in a byte: even indices in the high half.
#[inline(always)]
fn high_first(index: usize, nibble: u8) -> u8 {
    if index.is_multiple_of(2) { nibble << 4 } else { nibble }
}

#[inline(always)]
fn symmetric(values: &[f32], bits: usize) -> Grid {
    let (low, high) = range(values);
    let extreme = if -low >= high { low } else { high };
    let half = 1 << (bits - 1);
    Grid { scale: stored_scale(extreme / -(half as f32)), zero: 0, least: -half, most: half - 1 }
}

#[inline(always)]
fn asymmetric(values: &[f32]) -> Grid {
    let (low, high) = range(values);
    // Halves do not overflow f32 where the range would.
    let scale = stored_scale((high / 2.0 - low / 2.0) / 7.5);
    let zero = round_ties_even((-low / scale.to_f32()).min(15.0));
    Grid { scale, zero, least: 0, most: 15 }
}

/// The smallest and largest value, or zero where all lie on one side of it.
#[inline(always)]
fn range(values: &[f32]) -> (f32, f32) {
    // Lane by lane, since the order of comparisons is kept where a minimum might be of NaN.
    let (vectors, rest) = values.as_chunks::<LANES>();
    let (mut lows, mut highs) = ([0.0f32; LANES], [0.0f32; LANES]);
    for vector in vectors {
        for ((low, high), &x) in lows.iter_mut().zip(&mut highs).zip(vector) {
            *low = if x < *low { x } else { *low };
            *high = if x > *high { x } else { *high };
        }
    }
    let low = lows.iter().chain(rest).fold(0.0, |low: f32, &x| low.min(x));
    (low, highs.iter().chain(rest).fold(0.0, |high: f32, &x| high.max(x)))
}

/// The scale in f16, where it is not zero: 1 for a group of zeros.
#[inline(always)]
pub(crate) fn stored_scale(scale: f32) -> f16 {
    let stored = f16::from_f32(scale);
    match scale {
        0.0 => f16::ONE,
        _ if stored.to_f32() == 0.0 => f16::MIN_POSITIVE_SUBNORMAL,
        _ => stored,
    }
}

/// Columns of the largest group.
const LARGEST_GROUP: usize = 128;

#[inline(always)]
fn encode_group(values: &[f32], grid: &Grid, (bits, bytes): (usize, &mut [u8])) {
    let scale = grid.scale.to_f32();
    let mut codes = [0; LARGEST_GROUP];
    for (code, x) in codes.iter_mut().zip(values) {
        let steps = round_ties_even((x / scale).clamp(-64.0, 64.0));
        *code = (steps + grid.zero).clamp(grid.least, grid.most) as u8 & (0xff >> (8 - bits));
    }
    pack(bits, &codes[..values.len()], bytes);
}

pub(super) fn decode_row(tensor: &EncodedRef<'_>, row: usize, out: &mut [f32]) {
    match tensor.format {
        Format::Int5 { .. } => decode_runs::<5, 8>(tensor, row, out),
        Format::Int6 { .. } => decode_runs::<6, 4>(tensor, row, out),
        _ => decode_pairs(tensor, row, out),
    }
    let group = tensor.format.column_multiple() as usize;
    let groups = tensor.cols / group;
    let scales = tensor.lane::<f16>(Component::Scales, row, groups);
    let zero_point = has_zero_points(tensor.format);
    for (index, values) in out.chunks_mut(group).enumerate() {
        let scale = scales.get(index).to_f32();
        let zero = if zero_point { f32::from(zero_at(tensor, row, groups, index)) } else { 0.0 };
        for x in values {
            *x = (*x - zero) * scale;
        }
    }
}

/// The codes of int4.
fn decode_pairs(tensor: &EncodedRef<'_>, row: usize, out: &mut [f32]) {
    let zero_point = has_zero_points(tensor.format);
    let value = |nibble: u8| if zero_point { f32::from(nibble) } else { INT4[usize::from(nibble)] };
    let pairs = tensor.lane::<u8>(Component::Values, row, tensor.cols / 2);
    pairs.map_pairs(out, |byte| [value(byte >> 4), value(byte & 15)]);
}

/// The codes of int5 and int6.
fn decode_runs<const BITS: usize, const RUN: usize>(tensor: &EncodedRef<'_>, row: usize, out: &mut [f32]) {
    let run_bytes = RUN * BITS / 8;
    let bytes = tensor.lane::<u8>(Component::Values, row, tensor.cols * BITS / 8);
    for (index, values) in out.chunks_exact_mut(RUN).enumerate() {
        let high = bytes.get((index + 1) * run_bytes - 1);
        for (column, x) in values.iter_mut().enumerate() {
            let low = bytes.get(index * run_bytes + column / 2);
            *x = f32::from(code_in_run::<BITS>(low, high, column));
        }
    }
}

/// The zero point of group `index` of `groups` in a row.
fn zero_at(tensor: &EncodedRef<'_>, row: usize, groups: usize, index: usize) -> u8 {
    match tensor.layout {
        Layout::RowMajor => {
            let at = row * groups + index;
            let byte = tensor.part(Component::ZeroPoints)[at / 2];
            if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
        }
        Layout::Rows16 | Layout::MmaFragments => {
            tensor.lane::<u8>(Component::ZeroPoints, row, groups).get(index)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    const GROUP: usize = 64;

    /// Values over the whole range of f16 scales, and groups of zeros, of one sign and of ties.
    fn values() -> Vec<f32> {
        let mut random = SplitMix64::new(5);
        let mut values = vec![0.0; GROUP];
        values.extend([-0.0f32; GROUP]);
        values.extend((0..GROUP).map(|i| i as f32 / 2.0));
        values.extend((0..GROUP).map(|i| -8.0 + i as f32 / 4.0));
        values.extend([1e-9f32; GROUP]);
        let value = |_| f32::from_bits(random.bits() as u32 & 0xbfff_ffff).clamp(-1e5, 1e5);
        values.extend((0..60 * GROUP).map(value));
        values.extend((0..61 * GROUP).map(|_| (random.bits() % 1000) as f32 / 500.0 - 1.0));
        values
    }

    #[test]
    fn every_width_gives_the_nearest_codes() {
        let values = values();
        let groups = values.len() / GROUP;
        for (bits, zero_point) in [(4, false), (4, true), (5, false), (6, false)] {
            let encode = |width| {
                let (mut codes, mut scales) = (vec![0; values.len() * bits / 8], vec![f16::ZERO; groups]);
                let mut zeros = vec![0; if zero_point { groups.div_ceil(2) } else { 0 }];
                let (codes_out, scales_out, zeros_out) = (&mut codes, &mut scales, &mut zeros);
                let job = EncodeGroups {
                    values: &values,
                    group: GROUP,
                    bits,
                    codes: codes_out,
                    scales: scales_out,
                    zeros: zeros_out,
                };
                assert_eq!(run(width, job), Ok(()));
                (codes, scales, zeros)
            };
            let expected = encode(Width::Portable);
            for (group, values) in values.chunks(GROUP).enumerate() {
                let grid = if zero_point { asymmetric(values) } else { symmetric(values, bits) };
                assert_eq!(expected.1[group], grid.scale);
                let scale = grid.scale.to_f32();
                let code = |x: &f32| {
                    let steps = (x / scale).clamp(-64.0, 64.0).round_ties_even() as i32;
                    (steps + grid.zero).clamp(grid.least, grid.most) as u8 & (0xff >> (8 - bits))
                };
                let codes: Vec<u8> = values.iter().map(code).collect();
                let mut bytes = vec![0; GROUP * bits / 8];
                pack(bits, &codes, &mut bytes);
                assert_eq!(
                    expected.0[group * bytes.len()..][..bytes.len()],
                    bytes,
                    "{bits} bits, group {group}"
                );
            }
            for width in Width::ALL.into_iter().filter(|width| width.available()) {
                assert!(encode(width) == expected, "{width:?}, {bits} bits");
            }
        }
    }

    #[test]
    fn a_value_beyond_the_scale_is_named() {
        let mut values = vec![1.0f32; 3 * GROUP];
        values[GROUP + 9] = -1e7;
        let (mut codes, mut scales) = (vec![0; 3 * GROUP / 2], [f16::ZERO; 3]);
        let (codes, scales, zeros) = (&mut codes[..], &mut scales[..], &mut [][..]);
        let job = EncodeGroups { values: &values, group: GROUP, bits: 4, codes, scales, zeros };
        assert_eq!(run(Width::detect(), job), Err(GROUP + 9));
    }
}
