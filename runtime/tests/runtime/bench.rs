//! What is measured of a plan is what it does: the work that is counted, and figures that fit each other.

use std::{num::NonZeroUsize, ops::ControlFlow, sync::Mutex};

use samp_abi::plan::Plan;
use samp_runtime::{
    DeviceKind, Progress, Silent,
    bench::{BenchError, BenchOptions, BenchReport, Spread, bench},
    error_code, open,
};

use crate::support::{Recipe, SAMP, TinyPlan, VOCAB, make};

fn some(count: usize) -> Option<NonZeroUsize> {
    Some(NonZeroUsize::new(count).unwrap())
}

/// A prompt of 20 tokens, which takes two steps, six that are generated, and one and three sequences; everything twice.
fn options() -> BenchOptions {
    BenchOptions {
        prompt: some(20),
        generate: some(6),
        sequences: Some([1, 3].into_iter().filter_map(NonZeroUsize::new).collect()),
        repeats: NonZeroUsize::new(2).unwrap(),
        ..BenchOptions::default()
    }
}

/// The same, once.
fn once() -> BenchOptions {
    BenchOptions { repeats: NonZeroUsize::MIN, ..options() }
}

fn measure(plan: &TinyPlan, options: &BenchOptions) -> Result<BenchReport, BenchError> {
    bench(open(plan.path()).unwrap(), options, &Silent)
}

/// Bytes of the tensors whose name contains a part.
fn bytes(plan: &Plan, part: &str) -> u64 {
    plan.tensors.iter().filter(|tensor| tensor.name.contains(part)).map(|tensor| tensor.bytes()).sum()
}

fn ascends(spread: Spread) -> bool {
    0.0 < spread.low && spread.low <= spread.median && spread.median <= spread.high
}

#[test]
fn figures_are_of_the_work_that_was_asked_for_and_fit_each_other() {
    let plan = make(SAMP);
    let report = measure(&plan, &options()).unwrap();
    let manifest = plan.manifest();
    assert_eq!((report.digest.as_str(), report.device, report.repeats), (manifest.digest.as_str(), "cpu", 2));
    assert_eq!((report.prompt.tokens, report.generation.sequences, report.generation.steps), (20, 1, 6));
    assert_eq!(report.decode.iter().map(|d| (d.sequences, d.steps)).collect::<Vec<_>>(), [(1, 6), (3, 6)]);
    for decode in report.decode.iter().chain([&report.generation]) {
        assert!(ascends(decode.tokens_per_second) && ascends(decode.part_of_memory.unwrap()), "{decode:?}");
        // Two measurements' medians are means, which ratios do not pass through: compare what is one over the other.
        let step = decode.tokens_per_second.high * decode.step_ms.low / 1e3;
        assert!((step - decode.sequences as f64).abs() < 1e-9, "{decode:?}");
        let read = decode.weight_gb_per_second.high * decode.step_ms.low * 1e6;
        assert!((read / decode.weight_bytes as f64 - 1.0).abs() < 1e-9, "{decode:?}");
    }
    let machine = report.machine.as_ref().unwrap();
    let unit = &machine.arithmetic[0];
    assert!(ascends(machine.memory_gb_per_second) && ascends(unit.gflops) && ascends(unit.prompt_part));
    assert!(unit.prompt_part.high <= report.prompt.gflops.high / unit.gflops.low * (1.0 + 1e-9));
    let warm = report.start.warm;
    assert!(warm.opened.low <= warm.ready.low && warm.ready.low < warm.first_token.low, "{warm:?}");
    let files =
        std::fs::read_dir(plan.path()).unwrap().flat_map(Result::ok).map(|entry| entry.metadata().unwrap());
    let top: u64 = files.filter(|file| file.is_file()).map(|file| file.len()).sum();
    assert_eq!(report.start.bytes, top + 19, "and the one file in a folder");
}

#[test]
fn a_step_reads_every_weight_once_and_of_the_embedding_the_rows_of_its_tokens() {
    for tied in [false, true] {
        let plan = make(Recipe { tied, ..SAMP });
        let manifest = plan.manifest();
        let table = bytes(&manifest, "embed_tokens");
        let others = manifest.memory.weights_bytes - if tied { 0 } else { table };
        let found = measure(&plan, &once()).unwrap().decode.into_iter().map(|decode| decode.weight_bytes);
        let expected = [1, 3].map(|sequences| others + table / VOCAB * sequences);
        assert_eq!(found.collect::<Vec<_>>(), expected, "tied: {tied}");
    }
}

#[test]
fn a_prompts_operations_are_its_linears_and_its_attention() {
    for (window, pairs) in [(None, 20 * 21 / 2), (Some(5), 15 + 15 * 5)] {
        let plan = make(Recipe { window, ..SAMP });
        let prompt = measure(&plan, &once()).unwrap().prompt;
        let operations = 1e9 * prompt.gflops.high / prompt.tokens_per_second.high * 20.0;
        // Two layers of attention over 4 heads and 2 for keys and values, of 16 channels, and an MLP of 128 over 64 channels.
        let layer = 64 * 128 + 64 * 64 + 3 * 64 * 128;
        let expected = 2 * (2 * 20 * layer + 64 * VOCAB + 2 * 2 * pairs * 4 * 16);
        assert!((operations - expected as f64).abs() < 1e-3, "{operations}, expected {expected}");
    }
}

#[test]
fn what_is_not_asked_for_is_what_the_plan_takes() {
    let plan = make(SAMP);
    let report =
        measure(&plan, &BenchOptions { repeats: NonZeroUsize::MIN, ..BenchOptions::default() }).unwrap();
    assert_eq!((report.prompt.tokens, report.generation.steps), (48, 48), "its context");
    assert_eq!(report.decode.iter().map(|d| d.sequences).collect::<Vec<_>>(), [1, 4], "its sequences");
}

#[test]
fn the_reference_is_measured_beside_the_host_too() {
    let plan = make(SAMP);
    let options = BenchOptions { device: Some(DeviceKind::Reference), ..once() };
    let report = measure(&plan, &options).unwrap();
    assert!(report.device == "reference" && report.machine.is_some());
}

#[test]
fn more_than_the_plan_takes_is_refused_before_any_work() {
    struct Nothing(Mutex<usize>);
    impl Progress for Nothing {
        fn advance(&self, _item: &str, _units: u64) -> ControlFlow<()> {
            *self.0.lock().unwrap() += 1;
            ControlFlow::Continue(())
        }
    }
    let plan = make(SAMP);
    let widths = |count: usize| Some(some(count).into_iter().collect());
    for (options, code, expected) in [
        (BenchOptions { prompt: some(49), ..options() }, error_code::CONTEXT_EXCEEDED, "at most 48"),
        (BenchOptions { generate: some(50), ..options() }, error_code::CONTEXT_EXCEEDED, "of 50 positions"),
        (BenchOptions { sequences: widths(5), ..options() }, error_code::TOO_MANY_SEQUENCES, "at most 4"),
    ] {
        let heard = Nothing(Mutex::default());
        let refused = bench(open(plan.path()).unwrap(), &options, &heard).unwrap_err();
        assert!(refused.code() == code && refused.to_string().contains(expected), "{refused}");
        assert_eq!(heard.0.into_inner().unwrap(), 0);
    }
}
