//! No kernel loads what an earlier launch writes before it waits for that launch.

use std::collections::BTreeMap;

use rayon::prelude::*;
use samp_abi::{Format, Layout, ScaleAxis};
use samp_kernels::{
    attention::{KvGeometry, cuda::Attention},
    cuda::{Activation, KERNELS, Source},
    elementwise::cuda::{Concat, ElementwiseRows},
    embed,
    kernel::LinearKind,
    linear::cuda::Linear,
    rms_norm::cuda::Norm,
    sample,
};
use samp_nvrtc::Arch;
use samp_static_model::{EarlyLoad, loads_before_wait};

use super::machine::Tools;

/// Parameters that no launch writes: weights with their scales and tables, and what is computed at compile time.
const CONSTANT: [&str; 10] = [
    "values",
    "scales",
    "zero_points",
    "absmax_codes",
    "absmax_scales",
    "absmax_offset",
    "bias",
    "weight",
    "table",
    "half_turns",
];

/// Every kernel for Llama-3-70B, in one of its specialisations.
fn sources() -> Vec<Source> {
    let activation = Activation::F16;
    let formats = [
        Format::Nf4,
        "int4_g64_asym".parse().expect("a format"),
        Format::Fp8E4m3(ScaleAxis::Channel),
        Format::Int8 { outliers: false },
        Format::F16,
        Format::Bf16,
    ];
    let kinds =
        [(LinearKind::Gemv, 1), (LinearKind::Mma, 16), (LinearKind::Wgmma, 64), (LinearKind::WgmmaFp8, 64)];
    let linear = |format| {
        kinds.into_iter().filter_map(move |(kind, tokens)| Linear::new(kind, format, (57344, 8192), tokens))
    };
    let mut all: Vec<Source> = formats.into_iter().flat_map(linear).map(|linear| linear.source()).collect();
    let tables = Format::ALL
        .into_iter()
        .flat_map(|format| [Layout::RowMajor, Layout::MmaFragments].map(|layout| (format, layout)));
    all.extend(tables.filter_map(|(format, layout)| embed::cuda::source(format, layout, 8192)));
    for format in [Format::F16, Format::Fp8E4m3(ScaleAxis::Tensor)] {
        let kv = KvGeometry { format, scales: [1.0; 2], kv_heads: 8, head_dim: 128, page_tokens: 16 };
        let attention = Attention::new(64, kv, None).expect("kernels");
        all.extend([attention.rope_append(), attention.decode(), attention.prefill()]);
    }
    let norm = Norm { cols: 8192, activation, narrow: false };
    let (rows, mlp) =
        (ElementwiseRows { cols: 8192, activation }, ElementwiseRows { cols: 28672, activation });
    all.extend([
        norm.rms_norm(),
        norm.add_rms_norm(),
        norm.to_fp8(norm.rms_norm()),
        norm.to_fp8(norm.add_rms_norm()),
    ]);
    all.extend([rows.add(false), rows.add(true), rows.gather(), mlp.silu_mul(), mlp.silu_mul_fp8()]);
    all.push(Concat::new(&[8192, 1024, 1024]).expect("a kernel").source());
    all.extend(sample::cuda::source(128_256));
    all
}

/// The names of a kernel's parameters, by the bytes before each.
fn parameters(text: &str) -> BTreeMap<u64, String> {
    let (_, rest) = text.split_once("KERNEL_NAME(").expect("a kernel");
    let (list, _) = rest.split_once(')').expect("its parameters end");
    let mut found = BTreeMap::new();
    let mut at = 0u64;
    let list: String = list.lines().filter(|line| !line.starts_with('#')).collect();
    for parameter in list.split(',') {
        let size = if parameter.contains('*') { 8 } else { 4 };
        at = at.next_multiple_of(size);
        let name = parameter.rsplit([' ', '*']).next().expect("a name");
        found.insert(at, name.to_owned());
        at += size;
    }
    found
}

/// What is wrong with a load ahead of the wait; nothing where it is of what no launch writes.
fn fault(load: &EarlyLoad, parameters: &BTreeMap<u64, String>) -> Option<String> {
    // Either half of an address names its parameter.
    let named = |offset: &u64| parameters.range(..=offset).next_back().map(|(_, name)| name.as_str());
    let names: Vec<&str> =
        load.parameters.iter().filter_map(named).filter(|name| !SCALARS.contains(name)).collect();
    let constant = names.iter().all(|name| CONSTANT.contains(name)) && (load.of_table || !names.is_empty());
    (!constant).then(|| format!("{} reads of {names:?} before the wait", load.text))
}

/// Parameters that are no addresses.
const SCALARS: [&str; 3] = ["tokens", "rows", "count"];

#[test]
fn nothing_that_a_launch_writes_is_loaded_before_the_wait_for_it() {
    let tools = Tools::find();
    let of = |source: &Source| {
        let (code, _) = tools.code(source, Arch::Sm90a);
        let waits =
            code.instructions.iter().filter(|instruction| instruction.mnemonic() == "ACQBULK").count();
        let names = parameters(&source.text);
        let early = loads_before_wait(&code);
        let mut faults: Vec<String> = early.iter().filter_map(|load| fault(load, &names)).collect();
        if waits == 0 {
            faults.push("never waits".into());
        }
        let looked_at = early.len();
        let faults: Vec<String> =
            faults.into_iter().map(|fault| format!("{}: {fault}", source.stem)).collect();
        (looked_at, faults)
    };
    let sources = sources();
    let found: Vec<_> = sources.par_iter().map(of).collect();
    assert_eq!(found.iter().flat_map(|(_, faults)| faults).collect::<Vec<_>>(), Vec::<&String>::new());
    let loads: usize = found.iter().map(|(loads, _)| loads).sum();
    assert!(
        loads > 50,
        "linears begin to bring in weights before they wait, and only {loads} loads were seen"
    );
    for (stem, _) in KERNELS {
        assert!(sources.iter().any(|source| source.stem == *stem), "{stem} was not looked at");
    }
}

/// A kernel that reads its input first.
const HASTY: &str = "#include \"dev.cuh\"
    KERNEL(32)
    KERNEL_NAME(const u32* x, const u32* table, u32* out) {
      const u32 early = x[threadIdx.x] + table[threadIdx.x];
      grid_wait();
      out[threadIdx.x] = early;
    }";

#[test]
fn a_load_that_comes_too_early_is_noticed() {
    let source = Source { text: HASTY.into(), ..Source::find("add").expect("a kernel") };
    let (code, _) = Tools::find().code(&source, Arch::Sm90a);
    let names = parameters(HASTY);
    let faults: Vec<String> =
        loads_before_wait(&code).iter().filter_map(|load| fault(load, &names)).collect();
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert!(fault.contains("[\"x\"]"), "{fault}");
}
