//! The kernels around the linears in the shapes of Llama-3-70B: they compile for both architectures and keep to registers.

use rayon::prelude::*;
use samp_abi::{Format, Layout, ScaleAxis};
use samp_kernels::{
    attention::{KvGeometry, cuda::Attention},
    cuda::{Activation, PROBES, Source},
    elementwise::cuda::{Concat, Rows},
    embed,
    rms_norm::cuda::Norm,
    sample,
};
use samp_nvrtc::Arch;

/// Width of a row of Llama-3-70B.
const HIDDEN: u32 = 8192;

fn of_rows(activation: Activation) -> Vec<Source> {
    let norm = Norm { cols: HIDDEN, activation };
    let rows = Rows { cols: HIDDEN, activation };
    vec![
        norm.rms_norm(),
        norm.add_rms_norm(),
        rows.add(false),
        rows.add(true),
        rows.silu_mul(),
        norm.to_fp8(norm.rms_norm()),
        norm.to_fp8(norm.add_rms_norm()),
        Rows { cols: 28672, activation }.silu_mul_fp8(),
        rows.gather(),
    ]
}

fn of_attention(activation: Activation, format: Format) -> Vec<Source> {
    let kv = KvGeometry { format, scales: [1.0; 2], kv_heads: 8, head_dim: 128, page_tokens: 16 };
    let attention = Attention::new(64, kv, None).expect("kernels").with(activation);
    vec![attention.rope_append(), attention.decode(), attention.prefill()]
}

fn sources() -> Vec<Source> {
    let layouts = |format| [Layout::RowMajor, Layout::Fragments].map(|layout| (format, layout));
    let tables = Format::ALL.into_iter().flat_map(layouts);
    let mut all: Vec<Source> =
        tables.filter_map(|(format, layout)| embed::cuda::source(format, layout, HIDDEN)).collect();
    all.extend(
        [&[8192, 1024, 1024][..], &[28672; 2]].map(|widths| Concat::new(widths).expect("a kernel").source()),
    );
    all.push(sample::cuda::source(128_256).expect("a kernel"));
    for activation in [Activation::F16, Activation::Bf16] {
        all.extend(of_rows(activation));
        for format in [Format::F16, Format::Fp8E4m3(ScaleAxis::Tensor)] {
            all.extend(of_attention(activation, format));
        }
    }
    all
}

fn faults(jobs: &[(Source, Arch)]) -> Vec<String> {
    let nvrtc = super::nvrtc();
    let of = |(source, arch): &(Source, Arch)| {
        let report = nvrtc.compile(source, *arch).unwrap_or_else(|error| panic!("{error}")).report;
        println!("{} {arch}: {} registers", source.stem, report.registers);
        let about = format!("{} for {arch}", source.stem);
        report.faults().into_iter().map(move |fault| format!("{about}: {fault}")).collect::<Vec<_>>()
    };
    jobs.par_iter().flat_map_iter(of).collect()
}

#[test]
fn kernels_around_the_linears_do_not_spill() {
    let both = |source: Source| [(source.clone(), Arch::Sm80), (source, Arch::Sm90a)];
    let jobs: Vec<_> = sources().into_iter().flat_map(both).collect();
    assert_eq!(faults(&jobs), Vec::<String>::new());
}

/// Probes of what only Hopper has; one of them also makes tensor copies.
const HOPPER: [&str; 4] = ["probe_bulk", "probe_fence", "probe_wgmma", "probe_wgmma_fp8"];

#[test]
fn probes_compile() {
    let mut jobs = vec![];
    for (stem, _) in PROBES {
        let source = Source::of(stem).expect("a probe");
        jobs.push((source.clone(), Arch::Sm90a));
        jobs.push((source.clone().define("TENSOR_COPY", 1), Arch::Sm90a));
        jobs.extend((!HOPPER.contains(stem)).then_some((source, Arch::Sm80)));
    }
    assert_eq!(faults(&jobs), Vec::<String>::new());
}
