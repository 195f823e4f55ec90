//! What RoPE and the append to the cache compute, in plain loops.

use crate::{args::RopeAppendArgs, format::f32_to_fp8, kv_cache::KvGeometry};
use half::f16;
use samp_abi::Format;

/// Turns every head in f64.
pub fn rope_append(args: RopeAppendArgs<'_>) {
    args.check();
    let (kv, width) = (args.kv, args.kv.head_dim);
    let heads_of_token = args.heads + 2 * kv.kv_heads;
    let mut rows = args.qkv.chunks_exact(heads_of_token * width);
    let mut queries = args.out.chunks_exact_mut(args.heads * width);
    for sequence in args.sequences {
        for position in sequence.start..sequence.start + sequence.tokens {
            let (qkv, out) = (rows.next().expect("checked"), queries.next().expect("checked"));
            for (head, x) in qkv.chunks_exact(width).enumerate() {
                let turned = turn(x, (args.inv_frequencies, args.rope_scale), position);
                let (page, slot) = (sequence.pages[position / kv.page_tokens], position % kv.page_tokens);
                match head.checked_sub(args.heads) {
                    None => out[head * width..][..width].copy_from_slice(&turned),
                    Some(key) if key < kv.kv_heads => store(&kv, args.pool, (0, page, key, slot), &turned),
                    Some(value) => store(&kv, args.pool, (1, page, value - kv.kv_heads, slot), x),
                }
            }
        }
    }
}

fn turn(x: &[f32], (inv_frequencies, scale): (&[f64], f64), position: usize) -> Vec<f32> {
    let half = inv_frequencies.len();
    let mut turned = x.to_vec();
    for (i, frequency) in inv_frequencies.iter().enumerate() {
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let (a, b) = (f64::from(x[i]), f64::from(x[i + half]));
        turned[i] = (scale * (a * cos - b * sin)) as f32;
        turned[i + half] = (scale * (b * cos + a * sin)) as f32;
    }
    turned
}

fn store(
    kv: &KvGeometry,
    pool: &mut [u8],
    (which, page, head, slot): (usize, u32, usize, usize),
    values: &[f32],
) {
    let start = kv.offset(page, which, head, slot);
    let bytes = &mut pool[start..][..values.len() * kv.element_bytes()];
    match kv.format {
        Format::F32 => bytes.copy_from_slice(bytemuck::cast_slice(values)),
        Format::F16 => {
            for (bytes, x) in bytes.chunks_exact_mut(2).zip(values) {
                bytes.copy_from_slice(&f16::from_f32(*x).to_le_bytes());
            }
        }
        _ => {
            for (byte, x) in bytes.iter_mut().zip(values) {
                *byte = f32_to_fp8(x / kv.scales[which]);
            }
        }
    }
}
