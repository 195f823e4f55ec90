//! The suite and the measurements on the emulated GPU: all but time.

use std::{path::Path, sync::Mutex};

use samp_abi::{ElementType, Format, ScaleAxis, TargetName};
use samp_emulator::{Build, Options};
use samp_gpu_bench::{
    Gpu,
    bench::{
        attention::Workload,
        kernels::{Bench, KernelSweep},
        kv_format::KvFormat,
        linear::{LinearNames, LinearProblem},
        report::Report,
        step::{ModelStep, StepKind, StepNames},
    },
    clock::HostClock,
    code::{self, Code, CodeError},
    kernel_set,
    memory::{copy_source, fill_source},
    model_shape::{BenchModel, MatrixShape},
    outcome::Summary,
    suite,
};
use samp_kernel_cases::{self as cases, Check, KernelCase};
use samp_kernels::{cuda::Source, target::Target};
use samp_nvrtc::Nvrtc;
use samp_runtime::{Progress, device::gpu::Emulated};

fn emulated() -> Emulated {
    // The emulator's own tests keep the same kernels there.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-kernels");
    Emulated::new(&folder, Build::Plain, Options::default())
}

/// Does something with an emulated GPU of a kind.
fn with<T>(target: TargetName, work: impl FnOnce(&Gpu<'_, Emulated>) -> T) -> T {
    let driver = emulated();
    let clock = HostClock(&driver);
    work(&Gpu { driver: &driver, clock: &clock, code: Code::Source, target: Target::of(target) })
}

/// Keeps and prints what it hears.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Progress for Lines {
    fn note(&self, text: &str) {
        println!("{text}");
        self.0.lock().unwrap().push(text.to_owned());
    }
}

impl Lines {
    fn all(self) -> Vec<String> {
        self.0.into_inner().unwrap()
    }
}

fn summary(target: TargetName, cases: &[KernelCase]) -> Summary {
    with(target, |gpu| gpu.run(cases, &Lines::default()).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn conformance_holds() {
    let summary = summary(TargetName::H200, &suite::conformance());
    assert!(summary.failures.is_empty(), "{:?}", summary.failures);
    assert_eq!((summary.passed, summary.skipped), (suite::conformance().len(), 0));
}

#[test]
fn kernels_hold() {
    let wanted =
        ["rms_norm", "add of", "embed f16", "rope_append 8", "attention_decode 3", "_gemv f16 40x256"];
    let mut cases: Vec<KernelCase> = [cases::norms::cases(), cases::rows::cases(), cases::rope::cases()]
        .into_iter()
        .chain([cases::attention::decode(), cases::linear::outputs()])
        .flatten()
        .collect();
    cases.retain(|case| wanted.iter().any(|name| case.name.contains(name)));
    let summary = summary(TargetName::A100, &cases);
    assert!(summary.failures.is_empty() && summary.passed > 10, "{summary:?}");
}

#[test]
fn what_is_wrong_is_told_and_what_cannot_run_is_left_out() {
    let mut cases = suite::conformance();
    cases.retain(|case| case.name == "probe_warp" || case.hopper);
    let hopper = cases.len() - 1;
    cases[0].args[1] = cases::Arg::poisoned(32 * 8 * 4, Check::exactly(vec![0; 32 * 8 * 4]));
    let summary = summary(TargetName::A100, &cases);
    assert_eq!((summary.passed, summary.skipped), (0, hopper));
    assert!(summary.failures[0].contains("probe_warp, argument 1"), "{:?}", summary.failures);
}

#[test]
fn a_case_that_fails_is_told_of_and_the_next_is_run() {
    let mut cases = suite::conformance();
    cases.retain(|case| ["probe_warp", "probe_sync"].contains(&case.name.as_str()));
    assert_eq!(cases.len(), 2);
    cases[0].source.text = "this does not compile".into();
    let lines = Lines::default();
    let summary = with(TargetName::H200, |gpu| gpu.run(&cases, &lines).unwrap());
    let told = lines.all();
    let [failed, next] = [0, 1].map(|i| cases[i].name.as_str());
    assert_eq!(told[0], format!("try   {failed}"));
    assert!(told[1].starts_with(&format!("WRONG {failed}: kernel ")), "{told:?}");
    assert_eq!(told[told.len() - 2], format!("try   {next}"));
    assert_eq!((summary.passed, summary.failures.len()), (1, 1), "{told:?}");
}

#[test]
fn linears_are_measured() {
    with(TargetName::H200, |gpu| {
        let fill = gpu.fill_kernel().unwrap();
        let matrix = MatrixShape { rows: 40, cols: 128 };
        let nf4 =
            LinearProblem { format: Format::Nf4, activations: ElementType::F16, matrix, f32_out: false };
        let (fp8, bf16) = (Format::Fp8E4m3(ScaleAxis::Channel), ElementType::Bf16);
        let fp8 = LinearProblem { format: fp8, activations: ElementType::U8, ..nf4 };
        assert!(fp8.candidates(gpu.target, 2).is_empty(), "for many tokens alone");
        for (problem, tokens, name) in [
            (nf4, 2, "linear_nf4_fragments_"),
            (nf4, 16, "linear_nf4_fragments_"),
            (fp8, 16, "linear_fp8_e4m3_fragments_fp8wgmma16"),
            (LinearProblem { format: Format::Bf16, activations: bf16, ..nf4 }, 2, "linear_bf16_fragments_"),
            (LinearProblem { format: Format::Int8 { outliers: false }, ..nf4 }, 2, "linear_int8_fragments_"),
        ] {
            let operands = gpu.operands(&fill, &problem, &[tokens]).unwrap();
            let candidate = problem.candidates(gpu.target, tokens)[0];
            let measured = gpu.measure_linear(&problem, &operands, candidate, tokens, &[1, 2]).unwrap();
            let row =
                measured[0].row(LinearNames { model: "tiny", projection: "o" }, &problem, tokens, gpu.target);
            assert!(row.own && row.gbs > 0.0 && row.kernel.starts_with(name), "{row:?}");
            assert!(measured[1..].iter().all(|other| !other.own && other.blocks != row.blocks));
        }
    });
}

#[test]
fn units_are_measured_into_a_report() {
    with(TargetName::H200, |gpu| {
        let sweep = KernelSweep {
            models: vec![BenchModel::Tiny],
            formats: vec![Format::Nf4, Format::F16],
            tokens: vec![2],
            batches: vec![3],
            contexts: vec![70],
            prompts: vec![33],
        };
        let mut units = sweep.units(gpu.target).unwrap();
        units.retain(|unit| !unit.name().contains(" at 128") && !unit.name().contains("gate_up"));
        let (mut bench, mut report) = (Bench::new(gpu, sweep.tokens).unwrap(), Report::default());
        for unit in &units {
            bench.measure(unit, &mut report).unwrap_or_else(|error| panic!("{}: {error}", unit.name()));
        }
        assert!(report.ceilings.copy_gbs > 0.0 && report.ceilings.matmul_tflops > 0.0);
        assert_eq!(report.passes.len(), 12, "six kernels at 1 and 16");
        let own = report.attention.iter().filter(|row| row.own);
        let own: Vec<_> = own.map(|row| (row.kv.as_str(), row.batch, row.tokens, row.context)).collect();
        let expected = [("f16", 1, 33, 33), ("f16", 3, 1, 70), ("fp8", 1, 33, 33), ("fp8", 3, 1, 70)];
        assert_eq!(own, expected);
        let best: Vec<_> = report.linear.iter().filter(|row| row.best).collect();
        assert_eq!(best.len(), 3 * 2 + 1, "each linear in both formats, the head in f16");
        assert!(best.iter().all(|row| row.own));
    });
}

#[test]
fn whole_steps_are_measured() {
    with(TargetName::H200, |gpu| {
        for (name, kind, context) in [
            ("samp", StepKind::Decode, 40),
            ("uniform:bf16", StepKind::Decode, 40),
            ("samp", StepKind::Prefill, 5),
        ] {
            let (shape, formats) = (BenchModel::Tiny.shape(), name.parse().unwrap());
            let load = Workload { batch: 2, context };
            let step = ModelStep { shape, formats, kv: KvFormat::F16, kind, load };
            let lines = Lines::default();
            let row = gpu.measure_step(StepNames { kind: "decode", recipe: name }, step, &lines);
            let (row, told) = (row.unwrap_or_else(|error| panic!("{error}")), lines.all());
            assert!(
                told[0].starts_with("try   qkv ") && told.last().unwrap() == "try   decode of tiny",
                "{told:?}"
            );
            assert_eq!(row.tokens, if kind == StepKind::Decode { 2 } else { 10 });
            assert_eq!(row.kernels.len(), 5);
        }
    });
}

#[test]
fn as_many_sequences_are_measured_as_fit() {
    for (target, batch) in [(TargetName::H200, 128), (TargetName::H100, 64)] {
        let (shape, formats) = (BenchModel::Llama3_70b.shape(), "samp".parse().unwrap());
        let load = Workload { batch: 128, context: 2048 };
        let mut step = ModelStep { shape, formats, kv: KvFormat::Fp8, kind: StepKind::Decode, load };
        assert!(step.shrink(Target::of(target)).unwrap());
        assert_eq!(step.load.batch, batch, "{target}");
    }
}

#[test]
fn prepared_code_is_found_without_the_compiler() {
    let folder = tempfile::tempdir().unwrap();
    let sources = [fill_source(), copy_source()];
    let nvrtc = Nvrtc::find().unwrap_or_else(|error| panic!("{error}"));
    let bytes = code::prepare(nvrtc, &sources, TargetName::A100, folder.path()).unwrap();
    let found = |target| Code::folder(folder.path(), target).unwrap().cubin(&fill_source());
    assert!(found(TargetName::A100).unwrap().starts_with(b"\x7fELF") && bytes > 1000);
    let missing = found(TargetName::H100).unwrap_err();
    assert!(
        matches!(missing, CodeError::Missing { .. }) && missing.to_string().contains("prepare"),
        "{missing}"
    );
}

#[test]
fn code_that_is_slower_than_its_source_is_refused() {
    // An array indexed at run time needs a stack frame.
    let text = "#include \"dev.cuh\"
        KERNEL(32) fill(u32* out, int words) {
          u32 held[32];
          for (int i = 0; i < words; i++) held[i] = out[i];
          for (int i = 0; i < words; i++) out[i] = held[out[i] % 32];
        }";
    let sources = [copy_source(), Source { text: text.into(), ..fill_source() }];
    let (folder, nvrtc) =
        (tempfile::tempdir().unwrap(), Nvrtc::find().unwrap_or_else(|error| panic!("{error}")));
    let refused = code::prepare(nvrtc, &sources, TargetName::A100, folder.path()).unwrap_err();
    assert!(matches!(&refused, CodeError::Faulty { kernels, .. } if kernels.len() == 1), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("fill with") && text.contains("a stack frame of 128 bytes"), "{text}");
}

#[test]
fn what_is_prepared_has_a_place_for_everything() {
    let sources = kernel_set::sources(Target::of(TargetName::A100)).unwrap();
    assert!(sources.iter().all(|source| !source.stem.contains("wgmma")), "A100 has no such units");
    let stems: std::collections::BTreeSet<_> = sources.iter().map(|source| source.stem).collect();
    let with = |stem: &str, define: &str| {
        let mut all = sources.iter().filter(|source| source.stem == stem);
        all.any(|source| format!("{:?}", source.defines).contains(define))
    };
    assert!(with("rms_norm", "BF16") && with("linear_int8_gemv", "14336"), "of the models' shapes");
    for stem in [
        "fill",
        "copy",
        "sample",
        "linear_bf16_mma",
        "probe_warp",
        "linear_nf4_gemv",
        "linear_f16_mma",
        "attention_prefill",
    ] {
        assert!(stems.contains(stem), "{stem}");
    }
}
