//! The suite and the measurements on the emulated GPU: all but time.

use std::path::Path;

use samp_abi::{ElementType, Format, ScaleAxis, TargetName};
use samp_emulator::{Build, Options};
use samp_gpu::{
    Gpu,
    bench::{
        attention::{Kv, Load},
        linear::Task,
        step::{Job, What},
    },
    clock::HostClock,
    code::{self, Code, CodeError},
    memory::{copy_source, fill_source},
    shapes::Shape,
    suite, wanted,
};
use samp_kernels::{
    cuda::Source,
    target::Target,
    trial::{self, Check, Trial},
};
use samp_nvrtc::Nvrtc;
use samp_runtime::device::gpu::Emulated;

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

fn tally(target: TargetName, trials: &[Trial]) -> suite::Tally {
    with(target, |gpu| gpu.run(trials, |line| println!("{line}")).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn conformance_holds() {
    let tally = tally(TargetName::H200, &suite::conformance());
    assert!(tally.wrong.is_empty(), "{:?}", tally.wrong);
    assert_eq!((tally.held, tally.left_out), (suite::conformance().len(), 0));
}

#[test]
fn kernels_hold() {
    let wanted =
        ["rms_norm", "add of", "embed f16", "rope_append 8", "attention_decode 3", "_gemv f16 40x256"];
    let mut trials: Vec<Trial> = [trial::norms::trials(), trial::rows::trials(), trial::rope::trials()]
        .into_iter()
        .chain([trial::attention::decode(), trial::linear::outputs()])
        .flatten()
        .collect();
    trials.retain(|trial| wanted.iter().any(|name| trial.name.contains(name)));
    let tally = tally(TargetName::A100, &trials);
    assert!(tally.wrong.is_empty() && tally.held > 10, "{tally:?}");
}

#[test]
fn what_is_wrong_is_told_and_what_cannot_run_is_left_out() {
    let mut trials = suite::conformance();
    trials.retain(|trial| trial.name == "probe_warp" || trial.hopper);
    let hopper = trials.len() - 1;
    trials[0].args[1] = trial::Arg::poisoned(32 * 8 * 4, Check::exactly(vec![0; 32 * 8 * 4]));
    let tally = tally(TargetName::A100, &trials);
    assert_eq!((tally.held, tally.left_out), (0, hopper));
    assert!(tally.wrong[0].contains("probe_warp, argument 1"), "{:?}", tally.wrong);
}

#[test]
fn linears_and_attention_are_measured() {
    with(TargetName::H200, |gpu| {
        let filler = gpu.filler().unwrap();
        let nf4 =
            Task { format: Format::Nf4, activations: ElementType::F16, rows: 40, cols: 128, f32_out: false };
        let fp8 = Format::Fp8E4m3(ScaleAxis::Channel);
        let fp8 = Task { format: fp8, activations: ElementType::U8, ..nf4 };
        assert!(fp8.candidates(gpu.target, 2).is_empty(), "for many tokens alone");
        for (task, tokens, name) in [
            (nf4, 2, "linear_nf4_fragments_"),
            (nf4, 16, "linear_nf4_fragments_"),
            (fp8, 16, "linear_fp8_e4m3_fragments_fp8wgmma16"),
        ] {
            let operands = gpu.operands(&filler, &task, &[tokens]).unwrap();
            let measured = gpu.measure_linear(&task, &operands, tokens).unwrap();
            let row = measured[0].row(("tiny", "o"), &task, tokens, gpu.target);
            assert!(row.gbs > 0.0 && row.kernel.starts_with(name), "{row:?}");
        }
        let rows = gpu
            .measure_attention(&filler, &Shape::Tiny.sizes(), Kv::Fp8, Load { batch: 3, context: 70 })
            .unwrap();
        assert_eq!(rows.iter().filter(|row| row.best).count(), 1);
        assert!(gpu.copy_gbs(1 << 16).unwrap() > 0.0);
    });
}

#[test]
fn whole_steps_are_measured() {
    with(TargetName::H200, |gpu| {
        for (what, context) in [(What::Decode, 40), (What::Prefill, 5)] {
            let (sizes, recipe) = (Shape::Tiny.sizes(), "samp".parse().unwrap());
            let job = Job { sizes, recipe, kv: Kv::F16, what, load: Load { batch: 2, context } };
            let row = gpu.measure_step(("decode", "samp"), job).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(row.tokens, if what == What::Decode { 2 } else { 10 });
            assert_eq!(row.kernels.len(), 5);
        }
    });
}

#[test]
fn prepared_code_is_found_without_the_compiler() {
    let folder = tempfile::tempdir().unwrap();
    let sources = [fill_source(), copy_source()];
    let nvrtc = Nvrtc::find().unwrap_or_else(|error| panic!("{error}"));
    let bytes = code::prepare(nvrtc, &sources, TargetName::A100, folder.path()).unwrap();
    let found = |target| Code::folder(folder.path(), target).unwrap().of(&fill_source());
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
    let sources = wanted::sources(Target::of(TargetName::A100));
    assert!(sources.iter().all(|source| !source.stem.contains("wgmma")), "A100 has no such units");
    let stems: std::collections::BTreeSet<_> = sources.iter().map(|source| source.stem).collect();
    for stem in ["fill", "copy", "probe_warp", "linear_nf4_gemv", "linear_f16_mma", "attention_prefill"] {
        assert!(stems.contains(stem), "{stem}");
    }
}
