//! Double quantization of block absmax values (QLoRA, section 3; numerically bitsandbytes' CPU path).
//!
//! The mean of all absmax values is subtracted; what remains is divided by its largest magnitude in groups of 256 and
//! stored as the nearest code of an 8-bit dynamic map. A decoded absmax is `map[code] · scale + mean`.

use samp_abi::{ABSMAX_GROUP, Component};

use crate::encoded::EncodedRef;

const GROUP: usize = ABSMAX_GROUP as usize;

/// The value of every absmax code, ascending: the signed dynamic map of seven exponent bits (Dettmers, "8-Bit
/// Approximations for Parallelism in Deep Learning", arXiv 1511.04561, section 2.1.2).
pub const ABSMAX_MAP: [f32; 256] = dynamic_map();

/// Decade `d` of 0..7 covers 10^(d−7)..10^(d−6) with 2^d values, the midpoints of as many equal intervals; every value
/// stands with both signs, beside 0 and 1.
const fn dynamic_map() -> [f32; 256] {
    const DECADES: [f32; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
    let mut map = [0.0; 256];
    map[255] = 1.0;
    let mut next = 1;
    let mut decade = 0;
    while decade < 7 {
        let intervals = 1 << decade;
        let mut i = 0;
        while i < intervals {
            let mid = (boundary(i, intervals) + boundary(i + 1, intervals)) / 2.0;
            map[127 + next] = DECADES[decade] * mid;
            map[127 - next] = -map[127 + next];
            next += 1;
            i += 1;
        }
        decade += 1;
    }
    map
}

/// Point `i` of `intervals` equal intervals of 0.1..1, counted from the nearer end and rounded once, as torch's
/// `linspace` does; the product and sum of f32 values are exact enough in f64.
const fn boundary(i: usize, intervals: usize) -> f32 {
    let step = (1.0f32 - 0.1) / intervals as f32;
    if i < intervals.div_ceil(2) {
        (0.1f32 as f64 + step as f64 * i as f64) as f32
    } else {
        (1.0 - step as f64 * (intervals - i) as f64) as f32
    }
}

/// Midpoints between neighbouring values of the map.
const MIDPOINTS: [f32; 255] = {
    let mut mids = [0.0; 255];
    let mut i = 0;
    while i < 255 {
        mids[i] = (ABSMAX_MAP[i] + ABSMAX_MAP[i + 1]) * 0.5;
        i += 1;
    }
    mids
};

/// Double-quantizes all absmax values of a tensor into codes and group scales; returns their mean.
pub(super) fn encode(absmax: &[f32], codes: &mut [u8], scales: &mut [f32]) -> f32 {
    let offset = mean(absmax);
    let mut centred = [0.0; GROUP];
    for ((values, codes), scale) in absmax.chunks(GROUP).zip(codes.chunks_mut(GROUP)).zip(scales) {
        let centred = &mut centred[..values.len()];
        for (c, value) in centred.iter_mut().zip(values) {
            *c = value - offset;
        }
        *scale = super::arithmetic::absmax(centred);
        if *scale == 0.0 {
            codes.fill(0);
            continue;
        }
        let inverse = 1.0 / *scale;
        for (code, c) in codes.iter_mut().zip(&*centred) {
            *code = absmax_code(c * inverse);
        }
    }
    offset
}

/// The code of a value in −1..1. bitsandbytes first snaps the value to one of 65536 equal steps, then takes the
/// nearest map value of the step, the lower one at a tie.
pub(crate) fn absmax_code(x: f32) -> u8 {
    let unit = (1.0 + x.clamp(-1.0, 1.0)) * 0.5;
    let step = unit.mul_add(65535.0, 0.5) as i32;
    let snapped = 2.0 * step as f32 / 65535.0 - 1.0;
    MIDPOINTS.partition_point(|&mid| snapped > mid) as u8
}

/// Decodes the absmax values of row `row`, one for each block.
pub(super) fn decode_row(tensor: &EncodedRef<'_>, row: usize, out: &mut [f32]) {
    let blocks = out.len();
    let scales: &[f32] = tensor.part_as(Component::AbsmaxScales);
    let offset = tensor.part_as::<f32>(Component::AbsmaxOffset)[0];
    let mut block = row * blocks;
    tensor.lane::<u8>(Component::AbsmaxCodes, row, blocks).map(out, |code| {
        let scale = scales[block / GROUP];
        block += 1;
        absmax_of(code, scale, offset)
    });
}

/// The absmax that a code stands for in a group of this scale.
#[inline(always)]
pub(crate) fn absmax_of(code: u8, scale: f32, offset: f32) -> f32 {
    ABSMAX_MAP[code as usize] * scale + offset
}

/// Lanes of the vectors that [`mean`] sums.
const LANES: usize = 8;

/// The mean, summed in the order of torch's CPU kernel on one thread: four interleaved streams of 8-lane vectors, each
/// summed in cascade. torch itself shares more than 32768 values out over its threads, so that its own last bit then
/// depends on their number; here it never does.
fn mean(values: &[f32]) -> f32 {
    let sum = if values.len() < LANES {
        let singles: Vec<[f32; 1]> = values.iter().map(|&v| [v]).collect();
        interleaved_sum(&singles)[0]
    } else {
        let (vectors, rest) = values.as_chunks::<LANES>();
        let tail: f32 = rest.iter().fold(0.0, |sum, v| sum + v);
        interleaved_sum(vectors).iter().fold(tail, |sum, v| sum + v)
    };
    sum / values.len() as f32
}

/// Sums the streams `4i`, `4i + 1`, `4i + 2`, `4i + 3` apart, then together; what is left over joins the first.
fn interleaved_sum<const N: usize>(vectors: &[[f32; N]]) -> [f32; N] {
    let (quads, rest) = vectors.as_chunks::<4>();
    let mut sums = cascade_sum(quads);
    for vector in rest {
        add(&mut sums[0], vector);
    }
    let [mut total, others @ ..] = sums;
    for other in &others {
        add(&mut total, other);
    }
    total
}

/// Pairwise-like summation with four levels: each level passes its sum on after `2^power` additions.
fn cascade_sum<const N: usize>(quads: &[[[f32; N]; 4]]) -> [[f32; N]; 4] {
    let power = (quads.len().next_power_of_two().trailing_zeros() / 4).max(4);
    let step = 1 << power;
    let mut levels = [[[0.0; N]; 4]; 4];
    let mut chunks = quads.chunks_exact(step);
    for (index, chunk) in chunks.by_ref().enumerate() {
        for quad in chunk {
            add_quad(&mut levels[0], quad);
        }
        let done = (index + 1) * step;
        for level in 1..4 {
            let sum = std::mem::replace(&mut levels[level - 1], [[0.0; N]; 4]);
            add_quad(&mut levels[level], &sum);
            if done & ((step - 1) << (level as u32 * power)) != 0 {
                break;
            }
        }
    }
    for quad in chunks.remainder() {
        add_quad(&mut levels[0], quad);
    }
    let [mut total, higher @ ..] = levels;
    for level in &higher {
        add_quad(&mut total, level);
    }
    total
}

fn add_quad<const N: usize>(sum: &mut [[f32; N]; 4], quad: &[[f32; N]; 4]) {
    for (s, q) in sum.iter_mut().zip(quad) {
        add(s, q);
    }
}

fn add<const N: usize>(sum: &mut [f32; N], value: &[f32; N]) {
    for (s, v) in sum.iter_mut().zip(value) {
        *s += v;
    }
}
