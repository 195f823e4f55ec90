//! What paged attention computes, in plain loops.

use crate::{
    args::{AttentionArgs, first_visible},
    format::fp8_to_f32,
    kv_cache::{KvGeometry, SequenceSlice},
};
use half::f16;
use samp_abi::Format;

/// Scores, softmax and weighted sum of every query in f64.
pub fn paged_attention(args: AttentionArgs<'_>) {
    args.check();
    let (kv, width) = (args.kv, args.kv.head_dim);
    let group = args.heads / kv.kv_heads;
    let mut rows = args.q.chunks_exact(width).zip(args.out.chunks_exact_mut(width));
    for sequence in args.sequences {
        for position in sequence.start..sequence.start + sequence.tokens {
            let first = first_visible(position, args.window);
            for (head, (q, out)) in rows.by_ref().take(args.heads).enumerate() {
                let row = |which, position| read(&kv, args.pool, sequence, (which, head / group), position);
                let scores = (first..=position).map(|p| {
                    let dot: f64 = q.iter().zip(row(0, p)).map(|(q, k)| f64::from(*q) * k).sum();
                    dot / (width as f64).sqrt()
                });
                let scores: Vec<f64> = scores.collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
                let mut total = vec![0.0; width];
                for (position, score) in (first..).zip(&scores) {
                    for (total, v) in total.iter_mut().zip(row(1, position)) {
                        *total += (score - max).exp() / sum * v;
                    }
                }
                for (out, total) in out.iter_mut().zip(total) {
                    *out = total as f32;
                }
            }
        }
    }
}

/// The key (`which` = 0) or value (1) of a position.
pub fn read(
    kv: &KvGeometry,
    pool: &[u8],
    sequence: &SequenceSlice<'_>,
    (which, head): (usize, usize),
    position: usize,
) -> Vec<f64> {
    let page = sequence.pages[position / kv.page_tokens];
    let start = kv.offset(page, which, head, position % kv.page_tokens);
    let bytes = &pool[start..][..kv.head_dim * kv.element_bytes()];
    match kv.format {
        Format::F32 => bytemuck::cast_slice::<u8, f32>(bytes).iter().map(|&x| f64::from(x)).collect(),
        Format::F16 => bytemuck::cast_slice::<u8, f16>(bytes).iter().map(|x| x.to_f64()).collect(),
        _ => bytes.iter().map(|&c| f64::from(fp8_to_f32(c)) * f64::from(kv.scales[which])).collect(),
    }
}
