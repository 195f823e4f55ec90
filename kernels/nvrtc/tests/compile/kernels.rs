//! Every kernel in the specialisations that a large model takes: it compiles for each of its architectures and keeps to its
//! registers.

use rayon::prelude::*;
use samp_abi::Format;
use samp_kernels::{
    cuda::Activation,
    linear::cuda::{Kind, Linear},
};
use samp_nvrtc::Arch;

/// Rows and columns of a matrix of Llama-3-70B.
const SHAPE: (u32, u32) = (8192, 28672);

/// The architectures that a kind is compiled for.
fn archs(kind: Kind) -> &'static [Arch] {
    match kind {
        Kind::Wgmma | Kind::WgmmaFp8 => &[Arch::Sm90a],
        _ => &[Arch::Sm80, Arch::Sm90a],
    }
}

/// Each kind with one token tile where most registers are taken, for either activation, and one where fewest are.
fn specialisations() -> Vec<(Linear, Arch)> {
    let names = ["f16", "bf16", "fp8", "int8", "int4", "int4_g64_asym", "nf4"];
    let formats = names.map(|name| name.parse::<Format>().expect("a format"));
    let mut all = vec![];
    for format in formats {
        let ends =
            [(Kind::Gemv, 1, 2), (Kind::Mma, 8, 64), (Kind::Wgmma, 16, 128), (Kind::WgmmaFp8, 16, 128)];
        for (kind, few, many) in ends {
            let of = |tokens| Linear::new(kind, format, SHAPE, tokens);
            let (Some(few), Some(many)) = (of(few), of(many)) else { continue };
            let other = many.with(Activation::Bf16).filter(|other| *other != many);
            let linears = [few, many].into_iter().chain(other);
            all.extend(linears.flat_map(|linear| archs(kind).iter().map(move |arch| (linear, *arch))));
        }
    }
    all
}

#[test]
fn no_kernel_spills_or_is_serialised() {
    let nvrtc = super::nvrtc();
    let faults: Vec<String> = specialisations()
        .par_iter()
        .flat_map_iter(|(linear, arch)| {
            let source = linear.source();
            let cubin = nvrtc.compile(&source, *arch).unwrap_or_else(|error| panic!("{error}"));
            println!("{} {arch} {} tokens: {} registers", source.stem, linear.tokens, cubin.report.registers);
            let limit = 65536 / linear.threads();
            let registers = cubin.report.registers;
            let too_many = (registers > limit).then(|| format!("{registers} registers of {limit}"));
            let about = format!("{} for {arch}, {} tokens", source.stem, linear.tokens);
            let faults: Vec<String> = cubin.report.faults().into_iter().chain(too_many).collect();
            faults.into_iter().map(move |fault| format!("{about}: {fault}"))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn launches_fit_the_shared_memory_of_their_targets() {
    for (linear, arch) in specialisations() {
        let most = if arch == Arch::Sm80 { 163 * 1024 } else { 227 * 1024 };
        let bytes = linear.shared_bytes();
        assert!(bytes <= most, "{} for {arch}: {bytes} bytes of {most}", linear.source().stem);
    }
}
