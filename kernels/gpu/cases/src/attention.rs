//! Cases of attention_decode and attention_prefill.

use super::{Arg, Batch, Check, Heads, KernelCase, Near, RandomValues, activations::ActivationType as _};
use samp_kernels::{
    attention::{AttentionArgs, reference},
    cuda::Activation,
};

/// Heads that are computed fast.
pub const SMALL: Heads = Heads { heads: 8, kv_heads: 2, head_dim: 32, page_tokens: 16, fp8: false };
const LARGE: Heads = Heads { heads: 8, kv_heads: 1, head_dim: 128, page_tokens: 64, fp8: false };
const EACH: Heads = Heads { heads: 3, kv_heads: 3, head_dim: 64, page_tokens: 16, fp8: false };
/// More heads share keys than a tile has rows.
const MANY: Heads = Heads { heads: 40, kv_heads: 2, head_dim: 32, page_tokens: 16, fp8: false };

/// Blocks that share a token's positions.
const SPLITS: u32 = 3;
/// Weights are rounded to f16 before they meet values of up to 1.
const ABSOLUTE: f64 = 3e-4;

/// The two kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// `attention_decode`, for a few tokens of each sequence.
    Decode,
    /// `attention_prefill`, for many tokens of each sequence.
    Prefill,
}

/// What one launch computes.
#[derive(Clone, Copy, Debug)]
pub struct AttentionCase<'a> {
    /// By which kernel.
    pub kernel: Kernel,
    /// Sizes of the model's attention.
    pub heads: Heads,
    /// Positions that count; 0 for all.
    pub window: usize,
    /// How many positions each sequence has cached and how many tokens it adds.
    pub spans: &'a [(usize, usize)],
}

/// A few tokens of each sequence.
pub fn decode() -> Vec<KernelCase> {
    let case = |heads, window, spans| {
        AttentionCase { kernel: Kernel::Decode, heads, window, spans }.kernel_case(Activation::F16)
    };
    let spans = &[(0, 1), (15, 1), (16, 1), (200, 1), (330, 2)][..];
    let two = &[(130, 1), (3, 1)][..];
    let narrow =
        AttentionCase { kernel: Kernel::Decode, heads: SMALL, window: 0, spans: &[(40, 2), (3, 20)] };
    vec![
        case(SMALL, 0, spans),
        case(Heads { fp8: true, ..SMALL }, 50, spans),
        case(LARGE, 0, two),
        case(Heads { fp8: true, ..LARGE }, 0, two),
        case(EACH, 7, &[(40, 1), (2, 1)]),
        case(MANY, 0, &[(70, 1)]),
        narrow.kernel_case(Activation::Bf16),
        AttentionCase { heads: Heads { fp8: true, ..SMALL }, ..narrow }.kernel_case(Activation::Bf16),
    ]
}

/// Many tokens of each sequence.
pub fn prefill() -> Vec<KernelCase> {
    let case = |heads, window, spans| {
        AttentionCase { kernel: Kernel::Prefill, heads, window, spans }.kernel_case(Activation::F16)
    };
    let spans = &[(0, 1), (0, 37), (21, 16), (100, 3)][..];
    let narrow =
        AttentionCase { kernel: Kernel::Prefill, heads: SMALL, window: 0, spans: &[(40, 2), (3, 20)] };
    vec![
        case(SMALL, 0, spans),
        case(Heads { fp8: true, ..SMALL }, 19, spans),
        case(LARGE, 0, &[(60, 11)]),
        case(Heads { fp8: true, ..LARGE }, 0, &[(60, 11)]),
        case(EACH, 5, &[(0, 70)]),
        case(MANY, 0, &[(7, 9)]),
        narrow.kernel_case(Activation::Bf16),
        AttentionCase { heads: Heads { fp8: true, ..SMALL }, ..narrow }.kernel_case(Activation::Bf16),
    ]
}

/// Queries such as both activation formats can hold, large enough that some positions matter much more than others.
fn queries(batch: &Batch) -> Vec<f32> {
    let count = batch.tokens() * batch.heads.heads * batch.heads.head_dim;
    RandomValues::new(3).uniforms(count).iter().map(|x| (x * 96.0).round() / 32.0).collect()
}

impl AttentionCase<'_> {
    /// The launch with queries and results of a format.
    pub fn kernel_case(&self, activation: Activation) -> KernelCase {
        let AttentionCase { kernel, heads, window, spans } = *self;
        let batch = Batch::new(heads, spans, true);
        let queries = queries(&batch);
        let expected = expected(&batch, &queries, window);
        let (bits, _) = activation.rounded(&queries);
        let near = Near::all(&expected, ABSOLUTE, activation.rounding());
        let out = Arg::poisoned(expected.len() * 2, Check::near(activation.stored(), near));
        let attention = heads.attention(window).with(activation);
        let tokens = batch.tokens() as u32;
        let (source, grid, args) = match kernel {
            Kernel::Decode => {
                let mut args = self.args(&batch, &bits, out);
                let (sums, counters) = attention.decode_workspace(tokens, SPLITS);
                args.extend(Arg::workspace(sums, counters));
                args.push(Arg::I32(tokens as i32));
                // A token more than there are.
                (attention.decode(), attention.decode_grid(tokens + 1, SPLITS), args)
            }
            // A sequence more than there are.
            Kernel::Prefill => {
                let grid = attention.prefill_grid(tokens, spans.len() as u32 + 1);
                (attention.prefill(), grid, self.args(&batch, &bits, out))
            }
        };
        let name = format!("{} {heads}, window {window}{}", source.stem, activation.ending());
        KernelCase { name, source, grid, args, hopper: false }
    }

    /// The arguments that both kernels take.
    fn args(&self, batch: &Batch, queries: &[u16], out: Arg) -> Vec<Arg> {
        let (table, most) = batch.page_table();
        let [key_scale, value_scale] = self.heads.geometry().scales;
        let mut args = vec![Arg::read(queries), Arg::read(&batch.pool), Arg::read(&batch.positions())];
        match self.kernel {
            Kernel::Decode => args.push(Arg::read(&batch.sequences())),
            Kernel::Prefill => {
                args.extend([Arg::read(&batch.starts()), Arg::I32(self.spans.len() as i32)]);
            }
        }
        args.extend([Arg::read(&table), Arg::I32(most), out, Arg::F32(key_scale), Arg::F32(value_scale)]);
        args
    }
}

fn expected(batch: &Batch, queries: &[f32], window: usize) -> Vec<f32> {
    let mut out = vec![0.0; queries.len()];
    reference::paged_attention(AttentionArgs {
        q: queries,
        heads: batch.heads.heads,
        window: (window > 0).then_some(window),
        sequences: &batch.slices(),
        kv: batch.heads.geometry(),
        pool: &batch.pool,
        out: &mut out,
    });
    out
}
