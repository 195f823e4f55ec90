//! Probes with one line wrong: each kind of mistake is found, and called what it is.

use half::f16;
use samp_emulator::{Arg, Buffer, Build, Edit, FaultKind, Kernel, Launch, LaunchError, Options, Parameter};

use crate::harness::*;

/// The fault of an edited probe, launched by `run`.
fn caught(
    file: &'static str,
    (from, to): (&str, &str),
    run: impl FnMut(&Kernel, Options) -> Result<(), LaunchError>,
) -> (FaultKind, String) {
    let stem = file.strip_suffix(".cu").expect("a source");
    let kernel = compiled(&source(stem, &[]), &[Edit { file, from, to }], Build::Checked);
    let error =
        first_fault(&kernel, run).unwrap_or_else(|| panic!("{file}: nobody minds `{to}` for `{from}`"));
    (error.fault().expect("a fault").kind, error.to_string())
}

fn copy(kernel: &Kernel, options: Options) -> Result<(), LaunchError> {
    let x = Buffer::from(&[7u8; 5 * 1024][..]);
    let mut out = Buffer::<u8>::poisoned(x.len());
    let args = [Arg::read(&x), Arg::write(&mut out), 5.into(), 320.into()];
    kernel.launch(Launch::linear(1, 64).shared(3072), options, &args).map(|_| ())
}

#[test]
fn copies_read_too_early_or_overwritten_are_caught() {
    let file = "probe_copy.cu";
    let (kind, message) = caught(file, ("copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"), copy);
    assert_eq!(kind, FaultKind::Race, "{message}");
    let (kind, message) = caught(file, ("    block_sync();\n", ""), copy);
    assert_eq!(kind, FaultKind::Race, "{message}");
    let (kind, message) = caught(file, ("chunk < valid", "chunk <= valid"), |kernel, options| {
        let x = Buffer::from(&[7u8; 100 * 16][..]);
        let mut out = Buffer::<u8>::poisoned(2048);
        let args = [Arg::read(&x), Arg::write(&mut out), 2.into(), 100.into()];
        kernel.launch(Launch::linear(1, 64).shared(3072), options, &args).map(|_| ())
    });
    assert_eq!(kind, FaultKind::Bounds, "{message}");
    let (kind, message) = caught(file, ("thread) * 16), x +", "thread) * 16 + 8), x +"), copy);
    assert_eq!(kind, FaultKind::Alignment, "{message}");
}

fn bulk(kernel: &Kernel, options: Options) -> Result<(), LaunchError> {
    let x = Buffer::from(&[7u8; 4 * 1024][..]);
    let mut out = Buffer::<u8>::poisoned(x.len());
    let args = [Arg::read(&x), Arg::write(&mut out), 4.into()];
    kernel.launch(Launch::linear(1, 64).shared(1032), options, &args).map(|_| ())
}

#[test]
fn bulk_copies_without_barriers_are_caught() {
    let file = "probe_bulk.cu";
    for (from, to, kind) in [
        ("    barrier_wait(barrier, iter % 2);\n", "", FaultKind::Race),
        ("barrier_expect(barrier, BYTES);", "barrier_expect(barrier, BYTES + 16);", FaultKind::Deadlock),
        ("    barrier_init(barrier, 1);\n", "", FaultKind::Misuse),
        ("from + BYTES / 4, BYTES", "from + BYTES / 4 + 16, BYTES", FaultKind::Bounds),
    ] {
        let (found, message) = caught(file, (from, to), bulk);
        assert_eq!(found, kind, "{message}");
    }
    // Whoever runs ahead overwrites what others read, or completes a phase that they then miss.
    let (found, message) = caught(file, ("    block_sync();\n  }\n", "  }\n"), bulk);
    assert!(matches!(found, FaultKind::Race | FaultKind::Deadlock), "{message}");
}

fn wgmma(kernel: &Kernel, options: Options) -> Result<(), LaunchError> {
    let depth = 320;
    let (a, b) =
        (Buffer::from(&vec![f16::ONE; 64 * depth][..]), Buffer::from(&vec![f16::ONE; 64 * depth][..]));
    let mut out = Buffer::<f32>::poisoned(64 * 64);
    let args = [Arg::read(&a), Arg::read(&b), Arg::write(&mut out), (depth as i32).into(), 64.into()];
    kernel.launch(Launch::linear(1, 160).shared(2 * (64 * 128 + 16)), options, &args)?;
    // Sums that were read before the products were waited for.
    let wrong = out.iter().any(|&sum| sum != depth as f32);
    assert!(!wrong, "wrong sums");
    Ok(())
}

#[test]
fn warpgroup_products_without_barriers_are_caught() {
    let file = "probe_wgmma.cu";
    for (from, to) in [
        ("    barrier_wait(full + stage, iter / STAGES % 2);\n", ""),
        ("    wgmma_wait<0>();\n    barrier_arrive", "    barrier_arrive"),
    ] {
        let (kind, message) = caught(file, (from, to), wgmma);
        assert_eq!(kind, FaultKind::Race, "{message}");
    }
    let (kind, message) =
        caught(file, ("barrier_arrive(full + stage);", "barrier_arrive(empty + stage);"), wgmma);
    assert_eq!(kind, FaultKind::Deadlock, "{message}");

    let (kind, message) = caught("probe_fence.cu", ("  fence_async();\n", ""), |kernel, options| {
        let a = Buffer::from(&[f16::ONE; 64 * 16][..]);
        let b = Buffer::from(&[f16::ONE; 16 * 16][..]);
        let mut out = Buffer::<f32>::poisoned(64 * 16);
        let args = [Arg::read(&a), Arg::read(&b), Arg::write(&mut out)];
        kernel.launch(Launch::linear(1, 128).shared(2048), options, &args).map(|_| ())
    });
    assert_eq!(kind, FaultKind::Race, "{message}");
}

#[test]
fn lost_barriers_and_diverging_threads_are_caught() {
    let run = |kernel: &Kernel, options| {
        let x = Buffer::from(&[1i32; 128][..]);
        let mut out = Buffer::<i32>::poisoned(128);
        let (mut total, mut float_total) = (Buffer::from(&[0][..]), Buffer::from(&[0.0f32][..]));
        let args =
            [Arg::read(&x), Arg::write(&mut out), Arg::write(&mut total), Arg::write(&mut float_total)];
        kernel.launch(Launch::linear(1, 128).shared(512), options, &args).map(|_| ())
    };
    let file = "probe_sync.cu";
    for (from, to, kind) in [
        ("  named_sync(1 + pair, 64);\n", "", FaultKind::Race),
        ("  block_sync();\n", "", FaultKind::Race),
        ("  warp_sync();\n", "", FaultKind::Race),
        ("named_sync(1 + pair, 64)", "named_sync(1, 64 + pair * 32)", FaultKind::Divergence),
        ("named_sync(1 + pair, 64)", "named_sync(1 + pair, 96)", FaultKind::Deadlock),
        (
            "  warp_sync();\n",
            "  if (thread % 2) warp_sync();\n  else warp_sync(), warp_sync();\n",
            FaultKind::Deadlock,
        ),
        ("+ thread] = values", "+ thread * 2] = values", FaultKind::Bounds),
    ] {
        let (found, message) = caught(file, (from, to), run);
        assert!(
            found == kind || (kind == FaultKind::Deadlock && found == FaultKind::Divergence),
            "{message}"
        );
    }
}

#[test]
fn launches_that_do_not_fit_are_refused() {
    let kernel = compiled(&source("gather", &[("COLS", 4)]), &[], Build::Plain);
    use Parameter::*;
    assert_eq!(kernel.parameters(), [Pointer, Pointer, Pointer, Integer]);
    let launch =
        |launch, args: &[Arg<'_>]| kernel.launch(launch, Options::default(), args).expect_err("refused");
    let args = [Arg::null(), Arg::null(), Arg::null(), 0.into()];
    let wrong = [Arg::null(), Arg::null(), 1.0.into(), 0.into()];
    assert!(matches!(launch(Launch::linear(1, 128), &wrong), LaunchError::Arguments { .. }));
    assert!(matches!(launch(Launch::linear(1, 128), &args[..3]), LaunchError::Arguments { .. }));
    assert!(matches!(
        launch(Launch::linear(1, 129), &args),
        LaunchError::Threads { most: 128, found: 129, .. }
    ));
    assert!(matches!(launch(Launch::linear(0, 128), &args), LaunchError::Grid { .. }));
    let much = Launch::linear(1, 128).shared(samp_emulator::MAX_SHARED_BYTES + 1);
    assert!(matches!(launch(much, &args), LaunchError::SharedMemory { .. }));
}

#[test]
fn what_does_not_compile_says_why() {
    let edit = Edit { file: "gather.cu", from: "i >= count", to: "i >= cnt" };
    let error = emulator().compile_edited(&source("gather", &[("COLS", 4)]), &[edit], Build::Plain).err();
    let message = error.expect("refused").to_string();
    assert!(message.contains("gather.cu") && message.contains("cnt"), "{message}");
    let edit = Edit { from: "nowhere", ..edit };
    let error = emulator().compile_edited(&source("gather", &[("COLS", 4)]), &[edit], Build::Plain).err();
    assert!(error.expect("refused").to_string().contains("0 times instead of once"));
}
