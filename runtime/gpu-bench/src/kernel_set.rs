//! What is compiled beforehand: all that the suite and the measurements launch.

use std::collections::BTreeSet;

use samp_abi::{ElementType, Format, Group, ScaleAxis};
use samp_kernels::{cuda::Source, target::Target};

use crate::{
    bench::{kv_format::KvFormat, linear::LinearProblem, row_kernels::RowKernel, step},
    error::GpuError,
    memory,
    model_shape::{BenchModel, Projection},
    suite,
};

/// Models that are measured.
pub const MODELS: [BenchModel; 2] = [BenchModel::Llama3_8b, BenchModel::Llama3_70b];
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

/// The linears of a model: those of the decoder in every format, fp8 with activations of fp8 too, the head in formats of 16
/// bits.
pub fn linear_problems(
    model: BenchModel,
    formats: &[Format],
    target: &Target,
) -> Vec<(Projection, LinearProblem)> {
    let shape = model.shape();
    let of = |projection: Projection| {
        let matrix = shape.matrix(projection);
        let f32_out = projection == Projection::LmHead;
        let taken = formats.iter().filter(move |format| !f32_out || format.plain().is_some());
        taken.flat_map(move |&format| {
            let activations = target.activations_beside(&[format]);
            let problem = LinearProblem { format, activations, matrix, f32_out };
            let fp8 = LinearProblem { activations: ElementType::U8, ..problem };
            let both = matches!(format, Format::Fp8E4m3(_)).then_some(fp8);
            [problem].into_iter().chain(both).map(move |problem| (projection, problem))
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
    for model in MODELS {
        let shape = model.shape();
        for kv in [KvFormat::F16, KvFormat::Fp8] {
            for format in [Format::F16, Format::Bf16] {
                all.extend(step::sources(shape, format, kv, target)?);
            }
        }
        all.extend(RowKernel::ALL.map(|kernel| kernel.source(&shape)));
        for (_, problem) in linear_problems(model, &FORMATS, target) {
            let candidates = TOKENS.iter().flat_map(|&tokens| problem.candidates(target, tokens));
            all.extend(candidates.map(|candidate| candidate.source()));
        }
    }
    let mut seen = BTreeSet::new();
    all.retain(|source| seen.insert((source.symbol, source.defines.clone())));
    Ok(all)
}
