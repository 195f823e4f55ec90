//! Every kernel over a small ragged shape, on which the checked build runs it, whole and with a mistake put in.

use samp_kernel_cases::{
    KernelCase,
    attention::{self, SMALL},
    linear::{Problem, kernel},
    norms, rope, rows,
};
use samp_kernels::{cuda::Activation, kernel::LinearKind, linear::cuda::Linear};

use crate::sample;

/// Formats of weights and numbers of tokens at a time, for each kind of linear.
const LINEARS: [(LinearKind, &str, u32); 20] = [
    (LinearKind::Gemv, "nf4", 2),
    (LinearKind::Gemv, "int4_asym", 1),
    (LinearKind::Gemv, "int8", 8),
    (LinearKind::Gemv, "fp8", 3),
    (LinearKind::Gemv, "f16", 4),
    (LinearKind::Gemv, "bf16", 2),
    (LinearKind::Mma, "nf4", 16),
    (LinearKind::Mma, "int4_g64_asym", 32),
    (LinearKind::Mma, "int8", 8),
    (LinearKind::Mma, "fp8", 16),
    (LinearKind::Mma, "f16", 16),
    (LinearKind::Mma, "bf16", 16),
    (LinearKind::Wgmma, "nf4", 16),
    (LinearKind::Wgmma, "int4_asym", 64),
    (LinearKind::Wgmma, "int8", 16),
    (LinearKind::Wgmma, "fp8", 32),
    (LinearKind::Wgmma, "f16", 32),
    (LinearKind::Wgmma, "bf16", 16),
    (LinearKind::WgmmaFp8, "fp8", 16),
    (LinearKind::WgmmaFp8, "fp8_e4m3_tensor", 64),
];

/// Small launches of a kernel. Panics if there are none.
pub fn cases(stem: &str) -> Vec<KernelCase> {
    let cases: Vec<KernelCase> = match stem {
        "attention_decode" => vec![attention(attention::Kernel::Decode)],
        "attention_prefill" => vec![attention(attention::Kernel::Prefill)],
        "rope_append" => vec![rope::kernel_case(SMALL, Activation::F16, &[(0, 2)])],
        "rms_norm" => vec![crate::norms::SMALL.alone()],
        "add_rms_norm" => vec![crate::norms::SMALL.added()],
        "sample" => vec![sample::kernel_case()],
        _ => {
            let linears = LINEARS.into_iter().map(|(kind, format, tokens)| Linear {
                bias: true,
                ..kernel(kind, format, (264, 640), tokens)
            });
            let linears =
                linears.filter(|linear| linear.source().stem == stem).map(|linear| linear_case(&linear));
            let rows = || rows::cases().into_iter().chain(norms::cases());
            linears
                .chain(rows().find(|case| !stem.starts_with("linear") && case.source.stem == stem))
                .collect()
        }
    };
    assert!(!cases.is_empty(), "no launch of {stem}");
    cases
}

/// One token less than a tile; blocks so few that rings go round, and no divisor of the groups of rows, so that blocks share
/// some of them.
fn linear_case(linear: &Linear) -> KernelCase {
    let tokens = linear.tokens.max(2) - 1;
    let blocks = if linear.kind == LinearKind::Mma { 3 } else { 2 };
    Problem::new(linear, tokens).kernel_case(tokens, blocks)
}

/// A few tokens far along and at the beginning of two sequences.
pub fn attention(kernel: attention::Kernel) -> KernelCase {
    attention::AttentionCase { kernel, heads: SMALL, window: 0, spans: &[(150, 2), (5, 3)] }
        .kernel_case(Activation::F16)
}
