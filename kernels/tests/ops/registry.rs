use samp_abi::{ElementType, Format, Layout, TargetName, plan::OpKind};
use samp_kernels::{
    attention::{KvGeometry, cuda::Attention},
    cuda::Activation,
    elementwise::cuda::{Concat, ElementwiseRows},
    instantiate::{LaunchOp, LaunchSpec, Matrix},
    kernel::{CudaKernel, Entry, Kernel, OpShape},
    linear::{cuda::Linear, integer},
    registry::{candidates, find, kernels},
    rms_norm::cuda::Norm,
    target::Target,
    timing::cheapest,
};
use std::collections::BTreeSet;

const OPS: [OpKind; 11] = [
    OpKind::Embed,
    OpKind::RmsNorm,
    OpKind::AddRmsNorm,
    OpKind::Add,
    OpKind::Linear,
    OpKind::RopeAppend,
    OpKind::PagedAttention,
    OpKind::SiluMul,
    OpKind::Concat,
    OpKind::Gather,
    OpKind::Sample,
];

/// A linear with the activations that `target` then has.
pub(crate) fn linear_shape(target: TargetName, format: Format, tokens: u64) -> OpShape {
    let activations = Target::of(target).activations_beside(&[format]);
    OpShape { tokens, rows: 4096, cols: 4096, format: Some(format), activations, context: 0 }
}

#[test]
fn names_are_unique_and_follow_the_convention() {
    let names: BTreeSet<&str> = kernels().map(|k| k.name).collect();
    assert_eq!(names.len(), kernels().count());
    for kernel in kernels() {
        assert_eq!(find(kernel.name).expect("registered").name, kernel.name);
        let takes = |format: &Format| {
            let shape = linear_shape(kernel.targets[0], *format, 1);
            let mut types = [shape.activations, ElementType::U8].into_iter();
            types.any(|activations| {
                kernel.takes(&OpShape { activations, ..shape }, Target::of(kernel.targets[0]))
            })
        };
        let formats: Vec<Format> = Format::ALL.into_iter().filter(takes).collect();
        let stem = match kernel.layout {
            Some(layout) => {
                assert_eq!(formats.len(), 1, "{}: a packed weight has one format", kernel.name);
                format!("{}_{}_{}_", kernel.op, formats[0], layout)
            }
            None => format!("{}_", kernel.op),
        };
        let variant = kernel.name.strip_prefix(&stem);
        assert!(variant.is_some_and(|v| !v.contains('_')), "{}: expected {stem}VARIANT", kernel.name);
    }
}

#[test]
fn every_operation_has_a_cpu_kernel_for_every_format() {
    for op in OPS {
        for format in Format::ALL {
            let kept = matches!(format.name(), "f16" | "fp8_e4m3_tensor");
            if matches!(op, OpKind::RopeAppend | OpKind::PagedAttention) && !kept {
                continue;
            }
            let found =
                candidates(Target::of(TargetName::Cpu), op, linear_shape(TargetName::Cpu, format, 1)).count();
            assert!(found > 0, "no kernel for {op} with {format}");
        }
    }
}

#[test]
fn entries_are_of_their_operation() {
    for kernel in kernels() {
        let op = match kernel.entry {
            Entry::Embed { .. } => OpKind::Embed,
            Entry::RmsNorm { .. } => OpKind::RmsNorm,
            Entry::AddRmsNorm { .. } => OpKind::AddRmsNorm,
            Entry::Add { .. } => OpKind::Add,
            Entry::Linear { .. } => OpKind::Linear,
            Entry::RopeAppend { .. } => OpKind::RopeAppend,
            Entry::PagedAttention { .. } => OpKind::PagedAttention,
            Entry::SiluMul { .. } => OpKind::SiluMul,
            Entry::Concat { .. } => OpKind::Concat,
            Entry::Gather { .. } => OpKind::Gather,
            Entry::Sample { .. } => OpKind::Sample,
        };
        assert_eq!(op, kernel.op, "{}", kernel.name);
        // What GPUs compute is rounded to 16 bits, or by rows that say so to fp8, which has 3 bits behind its first. Integer
        // kernels of the host round inputs to 15 bits and levels of nf4 to 12.
        let (absolute, relative) = match kernel.cuda {
            None if kernel.rounds_inputs => (2e-3, 1e-4),
            None => (1e-5, 1e-5),
            Some(_) if kernel.name.ends_with("_fp8cuda") => (1e-3, 1.01 / 16.0),
            Some(_) => (1e-3, 1e-3),
        };
        let tolerance = kernel.tolerance;
        assert!(tolerance.absolute <= absolute && tolerance.relative <= relative, "{}", kernel.name);
    }
}

#[test]
fn few_tokens_are_computed_directly_many_by_panel_and_codes_of_integers_in_integers() {
    let chosen = |format, tokens| {
        cheapest(Target::of(TargetName::Cpu), OpKind::Linear, linear_shape(TargetName::Cpu, format, tokens))
    };
    for format in Format::ALL {
        let ends_with = |k: Option<&Kernel>, end| k.is_some_and(|k| k.name.ends_with(end));
        let [few, many] = if integer::takes(format) { ["_integer"; 2] } else { ["_direct", "_panel"] };
        for tokens in [1, 2, 4, 8] {
            assert!(ends_with(chosen(format, tokens), few), "{format} {tokens}");
        }
        for tokens in [32, 64, 512] {
            assert!(ends_with(chosen(format, tokens), many), "{format} {tokens}");
        }
    }
}

#[test]
fn every_operation_has_a_kernel_that_rounds_no_inputs() {
    for (op, format) in OPS.into_iter().flat_map(|op| Format::ALL.map(|format| (op, format))) {
        let shape = linear_shape(TargetName::Cpu, format, 1);
        let all = || candidates(Target::of(TargetName::Cpu), op, shape);
        assert!(all().count() == 0 || all().any(|kernel| !kernel.rounds_inputs), "{op} {format}");
        let rounds = all().any(|kernel| kernel.rounds_inputs);
        assert_eq!(rounds, op == OpKind::Linear && integer::takes(format), "{op} {format}");
    }
}

#[test]
fn gpus_take_gemv_for_one_token_and_tiles_for_many() {
    let chosen = |target, format, tokens| {
        let kernel = cheapest(Target::of(target), OpKind::Linear, linear_shape(target, format, tokens))
            .expect("a kernel");
        kernel.name.rsplit('_').next().expect("a variant")
    };
    for format in [Format::Nf4, Format::F16, Format::Bf16, Format::Fp8E4m3(samp_abi::ScaleAxis::Channel)] {
        let of = |target| [1, 2, 8, 16, 64, 256].map(|tokens| chosen(target, format, tokens));
        let a100 = of(TargetName::A100);
        assert_eq!(a100[0], "gemv1", "{format}");
        assert!(a100[2..].iter().all(|variant| variant.starts_with("mma")), "{format} {a100:?}");
        let h100 = of(TargetName::H100);
        assert_eq!([h100[0], h100[1], h100[2], h100[3]], ["gemv1", "gemv2", "mma8", "wgmma16"], "{format}");
        assert_eq!(h100[5], "wgmma128", "{format}");
    }
}

#[test]
fn nothing_runs_where_no_kernel_is() {
    let outliers = linear_shape(TargetName::H100, Format::Int8 { outliers: true }, 1);
    assert!(cheapest(Target::of(TargetName::H100), OpKind::Linear, outliers).is_none());
    // A width that is no multiple of nf4's blocks.
    let shape = linear_shape(TargetName::Cpu, Format::Nf4, 1);
    assert!(cheapest(Target::of(TargetName::Cpu), OpKind::Linear, OpShape { cols: 100, ..shape }).is_none());
    let shape = linear_shape(TargetName::H200, Format::Nf4, 1);
    // The tile of 16 tokens of a warpgroup is Hopper's alone.
    let names = |target| {
        candidates(Target::of(target), OpKind::Linear, OpShape { tokens: 16, ..shape }).map(|k| k.name)
    };
    assert!(names(TargetName::H200).any(|name| name == "linear_nf4_fragments_wgmma16"));
    assert!(!names(TargetName::A100).any(|name| name.contains("wgmma")));
    assert!(find("linear_nf3_rows16_direct").is_none());
}

#[cfg(feature = "fp8-activations")]
#[test]
fn fp8_activations_are_multiplied_with_fp8_weights_on_hopper_alone() {
    let fp8 = Format::Fp8E4m3(samp_abi::ScaleAxis::Channel);
    let chosen = |target, format, cols, tokens| {
        let shape = linear_shape(target, format, tokens);
        let shape = OpShape { activations: ElementType::U8, cols, ..shape };
        cheapest(Target::of(target), OpKind::Linear, shape).map(|kernel| kernel.name)
    };
    let of = |tokens| chosen(TargetName::H100, fp8, 4096, tokens);
    assert_eq!(of(16), Some("linear_fp8_e4m3_fragments_fp8wgmma16"));
    assert_eq!(of(256), Some("linear_fp8_e4m3_fragments_fp8wgmma128"));
    assert_eq!(chosen(TargetName::H100, fp8, 192, 16), None);
    assert_eq!(chosen(TargetName::H100, Format::INT8, 4096, 16), None);
    assert_eq!(chosen(TargetName::A100, fp8, 4096, 16), None);
}

#[cfg(feature = "fp8-activations")]
#[test]
fn rows_are_quantized_on_hopper_alone() {
    let chosen = |target, op, rows, activations| {
        let shape = OpShape { tokens: 16, rows, cols: 0, format: None, activations, context: 0 };
        cheapest(Target::of(target), op, shape).map(|kernel| kernel.name)
    };
    for (op, plain, fp8) in [
        (OpKind::RmsNorm, "rms_norm_cuda", "rms_norm_fp8cuda"),
        (OpKind::AddRmsNorm, "add_rms_norm_cuda", "add_rms_norm_fp8cuda"),
        (OpKind::SiluMul, "silu_mul_cuda", "silu_mul_fp8cuda"),
    ] {
        assert_eq!(chosen(TargetName::H100, op, 4096, ElementType::F16), Some(plain));
        assert_eq!(chosen(TargetName::H100, op, 4096, ElementType::U8), Some(fp8));
        assert_eq!(chosen(TargetName::H100, op, 4100, ElementType::U8), None, "{op}: not whole runs of 16");
        assert_eq!(chosen(TargetName::A100, op, 4096, ElementType::U8), None, "{op}");
    }
}

#[test]
fn plain_weights_are_taken_beside_activations_of_their_own_type() {
    use {ElementType as E, Format as F};
    let all = [E::F32, E::F16, E::Bf16, E::U8];
    let taken = |target, format| {
        let shape = |activations| OpShape { activations, ..linear_shape(target, format, 1) };
        all.into_iter()
            .filter(|dtype| cheapest(Target::of(target), OpKind::Linear, shape(*dtype)).is_some())
            .collect()
    };
    let expected: [(_, Vec<E>); 3] =
        [(F::F16, vec![E::F16]), (F::Bf16, vec![E::Bf16]), (F::Nf4, vec![E::F16, E::Bf16])];
    for (format, types) in expected {
        for target in [TargetName::A100, TargetName::H100] {
            let found: Vec<E> = taken(target, format);
            assert_eq!(found, types, "{format} on {target}");
        }
        assert_eq!(taken(TargetName::Cpu, format), [E::F32], "{format}: the host computes in f32");
    }
}

/// Rows that no plan can name: plans are the same with and without them.
#[test]
fn fp8_rows_take_no_activations_that_plans_have() {
    let of_fp8 = |kernel: &&Kernel| kernel.name.contains("fp8wgmma") || kernel.name.contains("fp8cuda");
    assert_eq!(kernels().filter(of_fp8).count(), if cfg!(feature = "fp8-activations") { 11 } else { 0 });
    for (kernel, target) in
        kernels().filter(of_fp8).flat_map(|k| k.targets.iter().map(move |t| (k, Target::of(*t))))
    {
        for activations in target.activations {
            let rows = OpShape::over_rows(4096, *activations).at(64, 0);
            assert!(!kernel.takes(&rows, target), "{} takes {activations:?}", kernel.name);
            for format in Format::ALL {
                let linear = OpShape::with_weight(4096, 4096, format, *activations).at(64, 0);
                assert!(!kernel.takes(&linear, target), "{} takes {activations:?}", kernel.name);
            }
        }
    }
}

#[test]
fn rows_name_gpus_as_the_target_table_has_them() {
    let named = |has: fn(&Target) -> bool| {
        let targets = TargetName::ALL.into_iter().filter(move |name| has(Target::of(*name)));
        targets.collect::<Vec<TargetName>>()
    };
    let (gpus, hopper) = (named(|target| target.compute_capability.is_some()), named(Target::has_wgmma));
    for kernel in kernels().filter(|kernel| kernel.cuda.is_some()) {
        let wgmma = matches!(kernel.cuda, Some(CudaKernel::Linear(kind, _)) if kind.is_wgmma());
        let fp8 = kernel.name.contains("fp8cuda");
        let expected = if wgmma || fp8 { &hopper } else { &gpus };
        assert_eq!(kernel.targets, expected, "{}", kernel.name);
    }
}

/// What a row's kernel is launched as, for some sizes that it takes.
fn launch_op(kernel: &Kernel) -> Option<LaunchOp> {
    let activation = Activation::F16;
    let (norm, rows) =
        (Norm { cols: 4096, activation, narrow: false }, ElementwiseRows { cols: 4096, activation });
    let kv =
        KvGeometry { format: Format::F16, scales: [1.0; 2], kv_heads: 8, head_dim: 128, page_tokens: 16 };
    let attention = Attention::new(32, kv, None).expect("kernels of such heads");
    let table = Matrix { format: Format::F16, layout: Layout::RowMajor, rows: 512, cols: 4096 };
    Some(match kernel.cuda? {
        CudaKernel::Embed => LaunchOp::Embed { table, scale: 1.0 },
        CudaKernel::RmsNorm => LaunchOp::RmsNorm(norm),
        CudaKernel::AddRmsNorm => LaunchOp::AddRmsNorm(norm),
        CudaKernel::Add => LaunchOp::Add { rows, wide: false },
        CudaKernel::Linear(kind, tokens) => {
            let taken = |format: &Format| kernel.name.starts_with(&format!("linear_{format}_fragments_"));
            let format = Format::ALL.into_iter().find(taken).expect("rows are named by their formats");
            LaunchOp::Linear(Linear::new(kind, format, (4096, 4096), tokens).expect("a kernel"))
        }
        CudaKernel::RopeAppend => LaunchOp::RopeAppend(attention),
        CudaKernel::Attention => LaunchOp::Attention(attention),
        CudaKernel::SiluMul => LaunchOp::SiluMul(rows),
        CudaKernel::Concat => LaunchOp::Concat(Concat::new(&[4096, 4096]).expect("two parts")),
        CudaKernel::Gather => LaunchOp::Gather(rows),
        CudaKernel::Sample => LaunchOp::Sample(4096),
        #[cfg(feature = "fp8-activations")]
        CudaKernel::RmsNormFp8 | CudaKernel::AddRmsNormFp8 | CudaKernel::SiluMulFp8 => return None,
    })
}

#[test]
fn machine_code_is_called_as_its_row() {
    let mut seen = BTreeSet::new();
    for kernel in kernels() {
        let Some(op) = launch_op(kernel) else { continue };
        for source in (LaunchSpec { name: kernel.name, op }).sources() {
            assert!(source.symbol.starts_with(kernel.name), "{}: {}", kernel.name, source.symbol);
            assert!(source.text.contains("KERNEL_NAME("), "{}.cu names its kernel itself", source.stem);
            assert!(source.macros().any(|name| name == ("KERNEL_NAME", source.symbol)));
            assert!(seen.insert(source.symbol), "{} stands for two kernels", source.symbol);
        }
    }
    assert!(seen.contains("paged_attention_cuda_decode") && seen.contains("linear_nf4_fragments_mma16"));
}
