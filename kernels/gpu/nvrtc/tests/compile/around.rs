//! The kernels around the linears in the shapes of Llama-3-8B and 70B, and probes.

use samp_abi::{Format, Layout, ScaleAxis};
use samp_kernels::{
    attention::{KvGeometry, cuda::Attention},
    cuda::{Activation, KERNELS, PROBES, Source},
    elementwise::cuda::{Concat, ElementwiseRows},
    embed,
    rms_norm::cuda::Norm,
    sample,
};
use samp_nvrtc::Arch;

use super::code::{Job, faults};

/// Sizes of a model.
#[derive(Clone, Copy)]
struct Model {
    hidden: u32,
    intermediate: u32,
    heads: u32,
    kv_heads: u32,
}

const LARGE: Model = Model { hidden: 8192, intermediate: 28672, heads: 64, kv_heads: 8 };
const SMALL: Model = Model { hidden: 4096, intermediate: 14336, heads: 32, kv_heads: 8 };
/// Width of a head of either.
const HEAD_DIM: u32 = 128;

impl Model {
    fn of_rows(self, activation: Activation) -> Vec<Source> {
        let norm = Norm { cols: self.hidden, activation, narrow: false };
        let rows = ElementwiseRows { cols: self.hidden, activation };
        let mlp = ElementwiseRows { cols: self.intermediate, activation };
        vec![
            norm.rms_norm(),
            norm.add_rms_norm(),
            norm.to_fp8(norm.rms_norm()),
            norm.to_fp8(norm.add_rms_norm()),
            rows.add(false),
            rows.add(true),
            rows.gather(),
            mlp.silu_mul(),
            mlp.silu_mul_fp8(),
        ]
    }

    fn of_attention(self, activation: Activation) -> Vec<Source> {
        let of = |format| {
            let (kv_heads, head_dim) = (self.kv_heads as usize, HEAD_DIM as usize);
            let kv = KvGeometry { format, scales: [1.0; 2], kv_heads, head_dim, page_tokens: 16 };
            let attention = Attention::new(self.heads as usize, kv, None).expect("kernels").with(activation);
            [attention.rope_append(), attention.decode(), attention.prefill()]
        };
        [Format::F16, Format::Fp8E4m3(ScaleAxis::Tensor)].into_iter().flat_map(of).collect()
    }

    fn of_tokens(self) -> Vec<Source> {
        let layouts = |format| [Layout::RowMajor, Layout::MmaFragments].map(|layout| (format, layout));
        let tables = Format::ALL.into_iter().flat_map(layouts);
        let embed = tables.filter_map(|(format, layout)| embed::cuda::source(format, layout, self.hidden));
        let (q, kv) = (self.heads * HEAD_DIM, self.kv_heads * HEAD_DIM);
        let widths = [&[q, kv, kv][..], &[self.intermediate; 2]];
        let concat = widths.map(|widths| Concat::new(widths).expect("a kernel").source());
        embed.chain(concat).chain(sample::cuda::source(128_256)).collect()
    }
}

/// Every kernel, as the larger model needs it.
pub fn sources() -> Vec<Source> {
    let mut all = LARGE.of_tokens();
    for activation in [Activation::F16, Activation::Bf16] {
        all.extend(LARGE.of_rows(activation));
        all.extend(LARGE.of_attention(activation));
    }
    all
}

/// What the code of each must be made of, by how the stem begins: loads and stores as wide as the kernel says, matrix units,
/// and what blocks leave for each other.
const WRITTEN_FOR: &[(&str, &[&str])] = &[
    ("add", &[" LDG.E.128", " STG.E.128 "]),
    ("attention_decode", &[" LDG.E.128", " HMMA.16816.F32 ", " ATOMG.E.ADD.", " LDG.E.STRONG.GPU "]),
    ("attention_prefill", &[" LDG.E.128", " HMMA.16816.F32 "]),
    ("concat", &[" LDG.E.128", " STG.E.128 "]),
    ("embed", &[" STG.E.128 "]),
    ("gather", &[" LDG.E.128", " STG.E.128 "]),
    ("rms_norm", &[" LDG.E.128"]),
    ("rope_append", &[" LDG.E.64", " LDS.128 "]),
    ("sample", &[" LDS.128 ", " DFMA "]),
    ("silu_mul", &[" LDG.E.64"]),
];

/// Where codes of fp8 are made or read, Hopper has instructions for it.
fn of_fp8(source: &Source) -> Option<&'static str> {
    let has = |name: &str| source.defines.contains_key(name);
    match source.stem {
        "silu_mul_fp8" => Some(" F2FP.SATFINITE.E4M3."),
        "rope_append" if has("KV_FP8") => Some(" F2FP.SATFINITE.E4M3."),
        _ if has("OUT_FP8") => Some(" F2FP.SATFINITE.E4M3."),
        "embed_fp8" => Some(" F2FP.F16.E4M3."),
        _ if has("KV_FP8") => Some(" F2FP.F16.E4M3."),
        _ => None,
    }
}

/// A kernel that is compiled, and nothing more.
fn compiled(source: Source, arch: Arch) -> Job {
    Job { source, arch, most_registers: 255, written_for: vec![] }
}

fn job(source: Source, arch: Arch) -> Job {
    let of_stem = WRITTEN_FOR.iter().filter(|(stem, _)| source.stem.starts_with(stem));
    let wanted = of_stem.flat_map(|(_, wanted)| wanted.iter().copied());
    let on_hopper = of_fp8(&source).filter(|_| arch != Arch::Sm80);
    let written_for = wanted.chain(on_hopper).map(str::to_owned).collect();
    Job { written_for, ..compiled(source, arch) }
}

#[test]
fn every_kernel_is_looked_at() {
    let sources = sources();
    for (stem, _) in KERNELS.iter().filter(|(stem, _)| !stem.starts_with("linear")) {
        assert!(sources.iter().any(|source| source.stem == *stem), "{stem} is not among them");
        assert!(WRITTEN_FOR.iter().any(|(begin, _)| stem.starts_with(begin)), "what is {stem} written for?");
    }
}

/// Looks at kernels on both architectures.
#[track_caller]
fn hold(sources: impl IntoIterator<Item = Source>, job: fn(Source, Arch) -> Job) {
    let both = |source: Source| [Arch::Sm80, Arch::Sm90a].map(|arch| job(source.clone(), arch));
    let jobs: Vec<Job> = sources.into_iter().flat_map(both).collect();
    assert_eq!(faults(&jobs), Vec::<String>::new());
}

#[test]
fn kernels_over_tokens_are_made_of_what_they_are_written_for() {
    hold(LARGE.of_tokens(), job);
}

#[test]
fn kernels_over_rows_are_made_of_what_they_are_written_for() {
    hold([Activation::F16, Activation::Bf16].map(|of| LARGE.of_rows(of)).concat(), job);
}

#[test]
fn attention_is_made_of_what_it_is_written_for() {
    hold([Activation::F16, Activation::Bf16].map(|of| LARGE.of_attention(of)).concat(), job);
}

#[test]
fn kernels_around_the_linears_of_a_smaller_model_keep_to_registers() {
    hold([SMALL.of_rows(Activation::F16), SMALL.of_attention(Activation::F16)].concat(), compiled);
}

/// Probes of what only Hopper has.
const HOPPER: [&str; 4] = ["probe_bulk", "probe_fence", "probe_wgmma", "probe_wgmma_fp8"];

#[test]
fn probes_compile() {
    let mut jobs = vec![];
    for (stem, _) in PROBES {
        let source = Source::find(stem).expect("a probe");
        jobs.push(compiled(source.clone(), Arch::Sm90a));
        jobs.extend((!HOPPER.contains(stem)).then(|| compiled(source, Arch::Sm80)));
    }
    assert_eq!(faults(&jobs), Vec::<String>::new());
}
