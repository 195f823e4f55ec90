//! What is compiled beforehand: all that the suite and the measurements launch.

use std::collections::BTreeSet;

use samp_abi::{ElementType, Format, Group, ScaleAxis};
use samp_kernels::{cuda::Source, target::Target};

use crate::{
    GpuError,
    bench::{attention::Kv, linear::Task, passes::Pass, step},
    memory,
    shapes::{Projection, Shape},
    suite,
};

/// Models that are measured.
pub const SHAPES: [Shape; 2] = [Shape::Llama3_8b, Shape::Llama3_70b];
/// Numbers of tokens that linears are measured at.
pub const TOKENS: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// Formats of decoder linears that are measured.
pub const FORMATS: [Format; 6] = [
    Format::Nf4,
    Format::Int4 { group: Group::G128, zero_point: false },
    Format::Int8 { outliers: false },
    Format::Fp8E4m3(ScaleAxis::Channel),
    Format::F16,
    Format::Bf16,
];

/// The linears of a shape: those of the decoder in every format, fp8 with activations of fp8 too, the head in formats of 16
/// bits.
pub fn tasks(shape: Shape, formats: &[Format], target: &Target) -> Vec<(Projection, Task)> {
    let sizes = shape.sizes();
    let of = |projection: Projection| {
        let (rows, cols) = sizes.of(projection);
        let f32_out = projection == Projection::LmHead;
        let wanted = formats.iter().filter(move |format| !f32_out || format.plain().is_some());
        wanted.flat_map(move |&format| {
            let activations = target.activations_beside(&[format]);
            let task = Task { format, activations, rows, cols, f32_out };
            let fp8 = Task { activations: ElementType::U8, ..task };
            let both = matches!(format, Format::Fp8E4m3(_)).then_some(fp8);
            [task].into_iter().chain(both).map(move |task| (projection, task))
        })
    };
    Projection::ALL.into_iter().flat_map(of).collect()
}

/// Every source that a target is to have code of, each once.
pub fn sources(target: &Target) -> Result<Vec<Source>, GpuError> {
    let mut all = vec![memory::fill_source(), memory::copy_source()];
    let hopper = target.has_wgmma();
    let cases = suite::conformance().into_iter().chain(suite::kernels());
    all.extend(cases.filter(|case| hopper || !case.hopper).map(|case| case.source));
    for shape in SHAPES {
        for kv in [Kv::F16, Kv::Fp8] {
            for format in [Format::F16, Format::Bf16] {
                all.extend(step::sources(shape.sizes(), (format, kv), target)?);
            }
        }
        all.extend(Pass::ALL.map(|pass| pass.source(&shape.sizes())));
        for (_, task) in tasks(shape, &FORMATS, target) {
            let candidates = TOKENS.iter().flat_map(|&tokens| task.candidates(target, tokens));
            all.extend(candidates.map(|candidate| candidate.source()));
        }
    }
    let mut seen = BTreeSet::new();
    all.retain(|source| seen.insert((source.symbol, source.defines.clone())));
    Ok(all)
}
