//! RoPE and the append to the cache on the CPU: queries by token, the cache by page.

use crate::{
    args::RopeAppendArgs,
    format::f32_to_fp8,
    kv_cache::{KvGeometry, SequenceSlice},
    parallel::{ELEMENT_WORK, for_each_of, for_each_row},
};
use half::{f16, slice::HalfFloatSliceExt};
use samp_abi::Format;
use std::ops::Range;

/// Rotates queries into `out`, appends rotated keys and plain values to the cache.
pub fn rope_append(args: RopeAppendArgs<'_>) {
    let tokens = args.check();
    let RopeAppendArgs { qkv, heads, inv_frequencies, rope_scale, sequences, kv, pool, out } = args;
    let (width, turned) = (kv.head_dim, 2 * inv_frequencies.len());
    let rotations = rotations(inv_frequencies, rope_scale, sequences, tokens);
    let row = (heads + 2 * kv.kv_heads) * width;
    for_each_row(out, heads * width, |token, out| {
        let queries = qkv[token * row..][..heads * width].chunks_exact(width);
        for (x, out) in queries.zip(out.chunks_exact_mut(width)) {
            rotate(x, &rotations[token * turned..][..turned], out);
        }
    });
    let work = tokens * 2 * kv.kv_heads * width * ELEMENT_WORK;
    for_each_of(&mut pages(sequences, &kv, pool), work, |_, page| {
        let mut rotated = vec![0.0; width];
        for (slot, token) in page.slots.clone().zip(page.first_token..) {
            let keys_values = &qkv[token * row + heads * width..][..2 * kv.kv_heads * width];
            for (index, x) in keys_values.chunks_exact(width).enumerate() {
                let (which, head) = (index / kv.kv_heads, index % kv.kv_heads);
                let start = kv.offset(0, which, head, slot);
                let to = &mut page.bytes[start..][..width * kv.element_bytes()];
                if which == 0 {
                    rotate(x, &rotations[token * turned..][..turned], &mut rotated);
                    store(&kv, which, &rotated, to);
                } else {
                    store(&kv, which, x, to);
                }
            }
        }
    });
}

/// Cosines, then sines, of each token's channel pairs, times the scale: `[tokens, 2, pairs]`. Angles are exact products in f64.
fn rotations(
    inv_frequencies: &[f64],
    scale: f64,
    sequences: &[SequenceSlice<'_>],
    tokens: usize,
) -> Vec<f32> {
    let pairs = inv_frequencies.len();
    if pairs == 0 {
        return vec![];
    }
    let positions: Vec<usize> = sequences.iter().flat_map(|s| s.start..s.start + s.tokens).collect();
    let mut rotations = vec![0.0; tokens * 2 * pairs];
    for_each_row(&mut rotations, 2 * pairs, |token, rotation| {
        let (cosines, sines) = rotation.split_at_mut(pairs);
        for ((cosine, sine), frequency) in cosines.iter_mut().zip(sines).zip(inv_frequencies) {
            let (sin, cos) = (positions[token] as f64 * frequency).sin_cos();
            (*cosine, *sine) = ((scale * cos) as f32, (scale * sin) as f32);
        }
    });
    rotations
}

/// Rotates channel `i` and `i + pairs` of a head as a point in the plane; channels behind them stay.
fn rotate(x: &[f32], rotation: &[f32], out: &mut [f32]) {
    let (cosines, sines) = rotation.split_at(rotation.len() / 2);
    let (x, stay) = x.split_at(rotation.len());
    let (out, out_stay) = out.split_at_mut(rotation.len());
    out_stay.copy_from_slice(stay);
    let (first, second) = x.split_at(x.len() / 2);
    let (out_first, out_second) = out.split_at_mut(x.len() / 2);
    for i in 0..first.len() {
        out_first[i] = first[i] * cosines[i] - second[i] * sines[i];
        out_second[i] = second[i] * cosines[i] + first[i] * sines[i];
    }
}

/// A page that this step writes to.
struct Page<'a> {
    bytes: &'a mut [u8],
    slots: Range<usize>,
    /// The token that goes into the first of these slots.
    first_token: usize,
}

/// The pages that the step's tokens go into. Panics if two sequences would write to one page.
fn pages<'a>(sequences: &[SequenceSlice<'_>], kv: &KvGeometry, pool: &'a mut [u8]) -> Vec<Page<'a>> {
    let mut written = vec![];
    let mut token = 0;
    for sequence in sequences {
        let end = sequence.start + sequence.tokens;
        let mut position = sequence.start;
        while position < end {
            let page_start = position / kv.page_tokens * kv.page_tokens;
            let next = end.min(page_start + kv.page_tokens);
            let page = sequence.pages[position / kv.page_tokens];
            written.push((page as usize, position - page_start..next - page_start, token));
            token += next - position;
            position = next;
        }
    }
    written.sort_by_key(|(page, ..)| *page);
    let mut rest = pool.chunks_exact_mut(kv.page_bytes());
    let mut passed = 0;
    let take = |(page, slots, first_token): (usize, Range<usize>, usize)| {
        assert!(page >= passed, "page {page} would be written by two sequences");
        let bytes = rest.nth(page - passed).expect("every page was checked to lie in the pool");
        passed = page + 1;
        Page { bytes, slots, first_token }
    };
    written.into_iter().map(take).collect()
}

fn store(kv: &KvGeometry, which: usize, values: &[f32], to: &mut [u8]) {
    match kv.format {
        Format::F32 => to.copy_from_slice(bytemuck::cast_slice(values)),
        Format::F16 => bytemuck::cast_slice_mut::<u8, f16>(to).convert_from_f32_slice(values),
        _ => {
            for (byte, x) in to.iter_mut().zip(values) {
                *byte = f32_to_fp8(x / kv.scales[which]);
            }
        }
    }
}
