//! Which kernels are looked at.

use samp_abi::{Format, Group, ScaleAxis};
use samp_kernels::{kernel::LinearKind, linear::cuda::Linear, target::Target};

/// One format for each kernel source: others have the same main loop, or nearly so.
pub const FORMATS: [Format; 5] = [
    Format::Nf4,
    Format::Int4 { group: Group::G128, zero_point: false },
    Format::Fp8E4m3(ScaleAxis::Channel),
    Format::Int8 { outliers: false },
    Format::F16,
];

/// Gates and ups of Llama-3-70B and 8B, and the down projection of the former, which has the most columns. Code depends on
/// columns alone, and that of many tokens hardly on them.
const SHAPES: [(u32, u32); 3] = [(57344, 8192), (28672, 4096), (8192, 28672)];

/// Kind, tokens, and at how many of the shapes it is looked at.
const KINDS: [(LinearKind, u32, usize); 10] = [
    (LinearKind::Gemv, 1, 3),
    (LinearKind::Gemv, 2, 3),
    (LinearKind::Mma, 8, 1),
    (LinearKind::Mma, 16, 1),
    (LinearKind::Mma, 32, 1),
    (LinearKind::Mma, 64, 1),
    (LinearKind::Wgmma, 16, 1),
    (LinearKind::Wgmma, 32, 1),
    (LinearKind::Wgmma, 64, 1),
    (LinearKind::Wgmma, 128, 1),
];

/// Every linear kernel of a target that is looked at.
pub fn linears(target: &Target) -> Vec<Linear> {
    let kinds = KINDS.iter().filter(|(kind, _, _)| target.has_wgmma() || !kind.is_wgmma());
    let of_kind = |&(kind, tokens, shapes): &(LinearKind, u32, usize)| {
        let of_format = move |format| {
            let shapes = SHAPES.into_iter().take(shapes);
            shapes.filter_map(move |shape| Linear::new(kind, format, shape, tokens))
        };
        FORMATS.into_iter().flat_map(of_format)
    };
    kinds.flat_map(of_kind).collect()
}

/// What a linear kernel is called in the tables, in the manner of the registry's rows.
pub fn name(linear: &Linear) -> String {
    let variant = match linear.kind {
        LinearKind::Gemv => "gemv",
        LinearKind::Mma => "mma",
        LinearKind::Wgmma => "wgmma",
        LinearKind::WgmmaFp8 => "fp8wgmma",
    };
    let format = linear.format.to_string();
    format!("{} {variant}{}", format.split('_').next().unwrap_or_default(), linear.tokens)
}
