//! Cases of rope_append.

use half::f16;
use samp_abi::{Format, ScaleAxis};

use super::{Arg, Batch, Check, Heads, KernelCase, Near, RandomValues, activations::ActivationType as _};
use samp_kernels::{
    cuda::Activation,
    format::fp8_to_f32,
    rope::{RopeAppendArgs, reference},
};

const SMALL: Heads = Heads { heads: 8, kv_heads: 2, head_dim: 32, page_tokens: 16, fp8: false };
const LARGE: Heads = Heads { heads: 10, kv_heads: 5, head_dim: 128, page_tokens: 64, fp8: false };

/// Small and large heads, with a cache of f16 and of fp8, at positions near and far, of either activation.
pub fn cases() -> Vec<KernelCase> {
    let far = [(0, 3), (5000, 2), (15, 18), (100_000, 1)];
    let near = [(63, 3), (0, 1)];
    let fp8 = |heads| Heads { fp8: true, ..heads };
    let cases = [(SMALL, &far[..]), (fp8(SMALL), &far), (LARGE, &near), (fp8(LARGE), &near)];
    // A part of each head, stretched; nothing of it.
    let partial = [(SMALL, Turn { pairs: 12, scale: 1.19 }), (fp8(LARGE), Turn { pairs: 0, scale: 1.0 })];
    let of = |activation| {
        let whole = cases.into_iter().map(move |(heads, spans)| kernel_case(heads, activation, spans));
        whole.chain(partial.map(|(heads, turn)| turned_case(heads, turn, activation, &far)))
    };
    [Activation::F16, Activation::Bf16].into_iter().flat_map(of).collect()
}

/// What is turned of a head.
#[derive(Clone, Copy)]
struct Turn {
    pairs: usize,
    scale: f64,
}

impl Turn {
    fn frequencies(self) -> Vec<f64> {
        (0..self.pairs).map(|i| 500_000f64.powf(-(i as f64) / self.pairs as f64)).collect()
    }
}

/// What the cache must hold: what was never written is still NaN, and a rounding in f32 now and then tips one of the
/// cache's format.
fn appended(heads: Heads, pool: &[u8]) -> Check {
    let (stored, values, step): (_, Vec<f32>, _) = match heads.fp8 {
        true => {
            let values = pool.iter().map(|&code| fp8_to_f32(code)).collect();
            (Format::Fp8E4m3(ScaleAxis::Tensor), values, 0.13)
        }
        false => {
            let values = pool.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
            (Format::F16, values, 1e-3)
        }
    };
    Check::mostly(stored, Near::all(&values, 1e-6, step))
}

/// The tokens of `spans`: how many positions each sequence has cached and how many tokens it adds.
pub fn kernel_case(heads: Heads, activation: Activation, spans: &[(usize, usize)]) -> KernelCase {
    turned_case(heads, Turn { pairs: heads.head_dim / 2, scale: 1.0 }, activation, spans)
}

fn turned_case(heads: Heads, turn: Turn, activation: Activation, spans: &[(usize, usize)]) -> KernelCase {
    let batch = Batch::new(heads, spans, false);
    let tokens = batch.tokens();
    let width = (heads.heads + 2 * heads.kv_heads) * heads.head_dim;
    let (bits, qkv) = activation.rounded(&RandomValues::new(5).uniforms(tokens * width));
    let mut q = vec![0.0; tokens * heads.heads * heads.head_dim];
    let mut pool = batch.pool.clone();
    reference::rope_append(RopeAppendArgs {
        qkv: &qkv,
        heads: heads.heads,
        inv_frequencies: &turn.frequencies(),
        rope_scale: turn.scale,
        sequences: &batch.slices(),
        kv: heads.geometry(),
        pool: &mut pool,
        out: &mut q,
    });
    let half_turns: Vec<f64> = turn.frequencies().iter().map(|f| f / std::f64::consts::PI).collect();
    let (table, most) = batch.page_table();
    let [key_scale, value_scale] = heads.geometry().scales;
    let near = Near::all(&q, 3e-7, 1.001 * activation.rounding());
    let args = vec![
        Arg::read(&bits),
        Arg::read(&half_turns),
        Arg::F32(turn.scale as f32),
        Arg::read(&batch.positions()),
        Arg::read(&batch.sequences()),
        Arg::read(&table),
        Arg::I32(most),
        Arg::poisoned(q.len() * 2, Check::near(activation.stored(), near)),
        Arg::poisoned(pool.len(), appended(heads, &pool)),
        Arg::F32(key_scale),
        Arg::F32(value_scale),
        Arg::I32(tokens as i32),
    ];
    let attention = heads.attention(0).with(activation).turning(2 * turn.pairs).expect("whole vectors");
    // A block more than there are tokens.
    let (source, grid) = (attention.rope_append(), attention.rope_append_grid(tokens as u32 + 1));
    let part = if 2 * turn.pairs < heads.head_dim {
        format!(", {} pairs of each", turn.pairs)
    } else {
        String::new()
    };
    let name = format!("rope_append {heads}{part}{}", activation.ending());
    KernelCase { name, source, grid, args, hopper: false }
}
