//! Every linear kernel in the specialisations that large models take.

use samp_abi::{Format, TargetName};
use samp_kernels::{
    cuda::{Activation, Source},
    kernel::LinearKind,
    linear::cuda::Linear,
    target::Target,
};
use samp_nvrtc::Arch;

use super::code::{Job, faults};

/// Rows and columns of the down projection of Llama-3-70B.
const LARGE: (u32, u32) = (8192, 28672);
/// Of gates and ups of Llama-3-8B.
const SMALL: (u32, u32) = (28672, 4096);

/// The architectures that a kind is compiled for.
fn archs(kind: LinearKind) -> &'static [Arch] {
    if kind.is_wgmma() { &[Arch::Sm90a] } else { &[Arch::Sm80, Arch::Sm90a] }
}

/// Each kind with one token tile where most registers are taken, for either activation, and one where fewest are.
fn of_shape(shape: (u32, u32), formats: &[&str]) -> Vec<(Linear, Arch)> {
    let mut all = vec![];
    for name in formats {
        let format: Format = name.parse().expect("a format");
        let ends = [
            (LinearKind::Gemv, 1, 2),
            (LinearKind::Mma, 8, 64),
            (LinearKind::Wgmma, 16, 128),
            (LinearKind::WgmmaFp8, 16, 128),
        ];
        for (kind, few, many) in ends {
            let of = |tokens| Linear::new(kind, format, shape, tokens);
            let (Some(few), Some(many)) = (of(few), of(many)) else { continue };
            let other = many.with(Activation::Bf16).filter(|other| *other != many);
            let linears = [few, many].into_iter().chain(other);
            all.extend(linears.flat_map(|linear| archs(kind).iter().map(move |arch| (linear, *arch))));
        }
    }
    all
}

fn of_larger() -> Vec<(Linear, Arch)> {
    of_shape(LARGE, &["f16", "bf16", "fp8", "int8", "int4", "int4_g64_asym", "nf4"])
}

fn of_smaller() -> Vec<(Linear, Arch)> {
    of_shape(SMALL, &["f16", "fp8", "nf4"])
}

/// One kernel of each kind.
pub fn of_each_kind() -> Vec<Source> {
    let all = LinearKind::ALL.map(|kind| {
        let format = if kind == LinearKind::WgmmaFp8 { "fp8" } else { "nf4" };
        let tokens = if kind == LinearKind::Gemv { 2 } else { 16 };
        let format = format.parse().expect("a format");
        Linear::new(kind, format, SMALL, tokens).expect("a kernel").source()
    });
    all.into()
}

/// What the code must be made of: 16 bytes at a time on every way, and the units that the kind is named for.
fn written_for(linear: &Linear) -> Vec<String> {
    let bf16 = if linear.activation == Activation::Bf16 { ".BF16" } else { "" };
    let tokens = linear.tokens;
    let (unit, on_the_way): (String, &[&str]) = match linear.kind {
        LinearKind::Gemv => (format!(" HMMA.16816.F32{bf16} "), &[]),
        LinearKind::Mma => (format!(" HMMA.16816.F32{bf16} "), &[" LDSM.16.M88.4 "]),
        LinearKind::Wgmma => (format!(" HGMMA.64x{tokens}x16.F32{bf16} "), &[" UBLKCP.S.G ", " SYNCS."]),
        LinearKind::WgmmaFp8 => {
            (format!(" QGMMA.64x{tokens}x32.F32.E4M3.E4M3 "), &[" UBLKCP.S.G ", " SYNCS."])
        }
    };
    let all = [" LDGSTS.E.BYPASS.128 ", " LDS.128 "].into_iter().chain(on_the_way.iter().copied());
    all.map(str::to_owned).chain([unit]).collect()
}

/// Looks at the specialisations of some kinds; where `closely`, at their instructions too.
#[track_caller]
fn hold(specialisations: Vec<(Linear, Arch)>, kinds: &[LinearKind], closely: bool) {
    let of_kinds = specialisations.iter().filter(|(linear, _)| kinds.contains(&linear.kind));
    let job = |(linear, arch): &(Linear, Arch)| Job {
        source: linear.source(),
        arch: *arch,
        most_registers: 65536 / linear.threads(),
        written_for: if closely { written_for(linear) } else { vec![] },
    };
    let jobs: Vec<Job> = of_kinds.map(job).collect();
    assert!(jobs.len() > 20, "only {} specialisations", jobs.len());
    assert_eq!(faults(&jobs), Vec::<String>::new());
}

#[test]
fn gemv_is_made_of_what_it_is_written_for() {
    hold(of_larger(), &[LinearKind::Gemv], true);
}

#[test]
fn mma_is_made_of_what_it_is_written_for() {
    hold(of_larger(), &[LinearKind::Mma], true);
}

#[test]
fn wgmma_is_made_of_what_it_is_written_for() {
    hold(of_larger(), &[LinearKind::Wgmma, LinearKind::WgmmaFp8], true);
}

/// Other sizes change constants and nothing else.
#[test]
fn linears_of_a_smaller_model_keep_to_registers() {
    hold(of_smaller(), &LinearKind::ALL, false);
}

#[test]
fn launches_fit_the_shared_memory_of_their_targets() {
    for (linear, arch) in of_larger().into_iter().chain(of_smaller()) {
        let of_arch = |target: &&Target| Arch::for_target(target) == Some(arch);
        let targets = TargetName::ALL.map(Target::of).into_iter().filter(of_arch);
        let most =
            targets.map(|target| target.shared_memory_bytes).min().expect("a target of the architecture");
        let bytes = linear.shared_bytes();
        assert!(bytes <= most, "{} for {arch}: {bytes} bytes of {most}", linear.source().stem);
    }
}
