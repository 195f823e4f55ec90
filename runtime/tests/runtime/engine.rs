//! What the engine computes: the same on every device, however the tokens are cut up and mixed.

use std::sync::Arc;

use proptest::prelude::*;
use samp_abi::{
    Format, Group,
    plan::{BufferId, Step},
};
use samp_kernels::sample::{SampleRequest, SampledToken};
use samp_runtime::{
    Batch, BufferView, Chunk, Device, DeviceError, DeviceKind, Engine, EngineError, EngineOptions, Observer,
    Outputs, Sampler, Sampling, SequenceId, Silent, open, set_affinity,
};

use crate::support::{FP8, KV_FP8, Recipe, SAMP, VOCAB, make};

pub fn text(length: usize, seed: u32) -> Vec<u32> {
    (0..length as u32).map(|i| (i * 31 + seed * 17 + i * i) % VOCAB as u32).collect()
}

/// The largest difference.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The logits after every token of one sequence.
pub fn alone(engine: &mut Engine, tokens: &[u32]) -> Vec<f32> {
    let id = engine.create().unwrap();
    let logits = engine.append_tokens(id, tokens, Outputs::All).unwrap();
    engine.release(id);
    logits.as_slice().to_vec()
}

fn recipes() -> Vec<(&'static str, Recipe)> {
    let int4 = Format::Int4 { group: Group::G64, zero_point: true };
    let int8 = Format::Int8 { outliers: true };
    vec![
        ("samp", SAMP),
        ("fp8 cache, bias", Recipe { kv: KV_FP8, bias: true, in_place: false, ..SAMP }),
        ("members apart", Recipe { apart: true, bias: true, ..SAMP }),
        ("tied, window", Recipe { tied: true, window: Some(5), ..SAMP }),
        ("int", Recipe { attention: int8, mlp: int4, embedding: FP8, ..SAMP }),
        (
            "f32",
            Recipe {
                kv: Format::F32,
                attention: Format::F32,
                mlp: Format::Bf16,
                embedding: Format::F32,
                ..SAMP
            },
        ),
    ]
}

#[test]
fn cpu_equals_reference() {
    for (name, recipe) in recipes() {
        let plan = make(recipe);
        let tokens = text(40, 3);
        let cpu = alone(&mut plan.engine(DeviceKind::Cpu, None), &tokens);
        let reference = alone(&mut plan.engine(DeviceKind::Reference, None), &tokens);
        let largest = reference.iter().fold(0f32, |m, l| m.max(l.abs()));
        assert!(largest > 0.1, "{name}: the logits say nothing: {largest}");
        let difference = apart(&cpu, &reference);
        println!("{name}: cpu and reference {difference:e} apart, logits up to {largest}");
        // What the kernels differ by is far less; but now and then it moves a key or value to the next f16.
        assert!(difference < 5e-4 * largest, "{name}: {difference} of {largest}");
    }
}

#[test]
fn chunks_do_not_change_a_bit() {
    for (name, recipe) in recipes() {
        let plan = make(recipe);
        let mut engine = plan.engine(DeviceKind::Cpu, None);
        let tokens = text(37, 1);
        let whole = alone(&mut engine, &tokens);
        for size in [1, 3, 5, 16] {
            let id = engine.create().unwrap();
            let mut found = vec![];
            for tokens in tokens.chunks(size) {
                let chunk = Chunk { sequence: id, tokens, outputs: Outputs::All };
                found.extend_from_slice(engine.step(&[chunk]).unwrap().as_slice());
            }
            engine.release(id);
            assert_eq!(whole, found, "{name}, chunks of {size}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Sequences that share steps in any mixture of chunks get what each gets alone.
    #[test]
    fn batches_do_not_change_a_bit(cuts in prop::collection::vec((0usize..3, 1usize..6), 10..30)) {
        let plan = make(SAMP);
        let mut engine = plan.engine(DeviceKind::Cpu, None);
        let texts: Vec<Vec<u32>> = (0..3).map(|seed| text(40, seed)).collect();
        let expected: Vec<Vec<f32>> = texts.iter().map(|t| alone(&mut engine, t)).collect();
        let ids: Vec<SequenceId> = (0..3).map(|_| engine.create().unwrap()).collect();
        let mut done = [0usize; 3];
        for pair in cuts.chunks(3) {
            let mut batch: Vec<(usize, usize)> = vec![];
            for &(sequence, count) in pair {
                let count = count.min(40 - done[sequence]);
                if count > 0 && batch.iter().all(|(s, _)| *s != sequence) {
                    batch.push((sequence, count));
                }
            }
            let chunks: Vec<Chunk<'_>> = batch.iter().map(|&(s, count)| Chunk {
                sequence: ids[s], tokens: &texts[s][done[s]..done[s] + count], outputs: Outputs::Last,
            }).collect();
            let logits = engine.step(&chunks).unwrap();
            for (index, &(s, count)) in batch.iter().enumerate() {
                done[s] += count;
                let row = logits.row(logits.chunk(index).start);
                let at = (done[s] - 1) * VOCAB as usize;
                prop_assert_eq!(row, &expected[s][at..at + VOCAB as usize]);
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let plan = make(SAMP);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| alone(&mut plan.engine(DeviceKind::Cpu, None), &text(30, 2)))
    };
    assert_eq!(run(1), run(3));
}

/// The engine's own threads by name, with the CPUs that the system lets each use.
#[cfg(target_os = "linux")]
fn own_threads() -> Vec<(String, String)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).ok()?.trim().to_owned();
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim().to_owned();
        name.starts_with("samp-cpu-").then_some((name, cpus))
    };
    let mut threads: Vec<_> = tasks.filter_map(read).collect();
    threads.sort();
    threads
}

/// Each is bound to the next CPU of the list, and from its end to the first again.
#[test]
#[cfg(target_os = "linux")]
fn an_engines_threads_are_bound_to_the_cpus_that_were_set() {
    let plan = make(SAMP);
    let cpus: Vec<usize> =
        (0..1024).filter(|cpu| set_affinity(cpu.to_string().parse().unwrap()).is_ok()).collect();
    let [cpu] = cpus[..] else { panic!("CPUs are set once, not {cpus:?}") };
    let again = set_affinity(cpu.to_string().parse().unwrap()).unwrap_err();
    assert_eq!(again.code(), "E1417", "{again}");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let mut engine = pool.install(|| plan.engine(DeviceKind::Cpu, None));
    alone(&mut engine, &text(30, 2));
    let expected = [1, 2].map(|index| (format!("samp-cpu-{index}"), cpu.to_string()));
    // On a busy machine they are late in naming and binding themselves.
    let late = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while own_threads() != expected && std::time::Instant::now() < late {
        std::thread::yield_now();
    }
    assert_eq!(own_threads(), expected);
}

#[test]
fn a_truncated_sequence_goes_on_as_if_nothing_had_been() {
    let plan = make(SAMP);
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let (first, second) = (text(11, 1), text(9, 2));
    let id = engine.create().unwrap();
    engine.append_tokens(id, &first, Outputs::None).unwrap();
    engine.append_tokens(id, &text(20, 5), Outputs::None).unwrap();
    engine.truncate(id, first.len()).unwrap();
    let after = engine.append_tokens(id, &second, Outputs::Last).unwrap();
    let whole = alone(&mut engine, &[first, second].concat());
    assert_eq!(after.row(0), &whole[19 * VOCAB as usize..]);
    assert!(matches!(engine.truncate(id, 21), Err(EngineError::Truncate { len: 20, asked: 21, .. })));
}

#[test]
fn outputs_are_the_rows_asked_for() {
    let plan = make(SAMP);
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let tokens = text(36, 4);
    let all = alone(&mut engine, &tokens);
    let id = engine.create().unwrap();
    let some = engine.append_tokens(id, &tokens, Outputs::At(&[0, 15, 16, 35])).unwrap();
    assert_eq!((some.len(), some.vocab(), some.chunk(0)), (4, VOCAB as usize, 0..4));
    for (row, at) in some.rows().zip([0, 15, 16, 35]) {
        assert_eq!(row, &all[at * VOCAB as usize..(at + 1) * VOCAB as usize]);
    }
    let id = engine.create().unwrap();
    assert!(engine.append_tokens(id, &tokens, Outputs::None).unwrap().is_empty());
    for rows in [&[3, 3][..], &[5, 4], &[36]] {
        assert!(matches!(
            engine.append_tokens(id, &tokens, Outputs::At(rows)),
            Err(EngineError::OutputRows { .. })
        ));
    }
}

#[test]
fn what_goes_beyond_the_limits_is_refused_and_changes_nothing() {
    let plan = make(SAMP);
    let mut engine = plan.engine(DeviceKind::Cpu, Some(20));
    let id = engine.create().unwrap();
    let other = engine.create().unwrap();
    let chunk = |sequence, tokens| Chunk { sequence, tokens, outputs: Outputs::Last };
    let long = text(49, 0);
    type Refused = fn(&EngineError) -> bool;
    let cases: [(&[Chunk<'_>], Refused); 6] = [
        (&[chunk(id, &long[..17])], |e| matches!(e, EngineError::TooManyTokens { found: 17, limit: 16 })),
        (&[chunk(id, &long[..9]), chunk(other, &long[..8])], |e| {
            matches!(e, EngineError::TooManyTokens { .. })
        }),
        (&[chunk(id, &[])], |e| matches!(e, EngineError::EmptyChunk { .. })),
        (&[chunk(id, &[VOCAB as u32])], |e| matches!(e, EngineError::UnknownToken { token: 80, .. })),
        (&[chunk(id, &[1]), chunk(id, &[1])], |e| matches!(e, EngineError::RepeatedSequence { .. })),
        (&[], |_| false),
    ];
    for (batch, refused) in cases {
        match engine.step(batch) {
            Ok(logits) => assert!(batch.is_empty() && logits.is_empty()),
            Err(error) => assert!(refused(&error), "{error}"),
        }
    }
    assert!(matches!(
        engine.append_tokens(id, &long, Outputs::Last),
        Err(EngineError::ContextExceeded { .. })
    ));
    // Twenty positions are five pages; the cache of the first sequence leaves one.
    engine.step(&[chunk(id, &long[..14])]).unwrap();
    let full = engine.step(&[chunk(id, &long[..3]), chunk(other, &long[..1])]).unwrap_err();
    assert!(matches!(full, EngineError::OutOfPages(p) if (p.needed, p.free, p.total) == (2, 1, 5)), "{full}");
    assert!(matches!(
        engine.append_tokens(other, &long[..5], Outputs::Last),
        Err(EngineError::OutOfPages(_))
    ));
    assert_eq!((engine.len(id).unwrap(), engine.kv_usage().used_pages), (14, 4));
    engine.release(id);
    engine.step(&[chunk(other, &long[..16])]).unwrap();
    assert!(matches!(engine.len(id), Err(EngineError::UnknownSequence { .. })));
    assert!(matches!(engine.step(&[chunk(id, &[1])]), Err(EngineError::UnknownSequence { .. })));
    for _ in 0..3 {
        engine.create().unwrap();
    }
    assert!(matches!(engine.create(), Err(EngineError::TooManySequences { limit: 4 })));
}

#[test]
fn the_golden_probe_is_run_at_load() {
    let plan = make(SAMP);
    let load = |device, self_test| {
        let options = EngineOptions { self_test, ..EngineOptions::default() };
        Engine::new(Arc::new(open(plan.path()).unwrap()), device, options).map(|_| ())
    };
    for device in [DeviceKind::Cpu, DeviceKind::Reference] {
        load(device, true).unwrap();
    }
    plan.edit(|plan| plan.model.rope.inv_frequencies[0] = 0.5);
    let refused = load(DeviceKind::Cpu, true).unwrap_err();
    assert!(matches!(refused, EngineError::Golden(_)), "{refused}");
    load(DeviceKind::Cpu, false).unwrap();
}

/// A server keeps engines on threads of their own.
#[test]
fn engines_move_between_threads() {
    fn movable<T: Send>() {}
    movable::<Engine>();
    movable::<samp_runtime::Completion<Arc<samp_runtime::Tokenizer>>>();
    let plan = make(SAMP);
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let here = alone(&mut engine, &text(9, 1));
    let there = std::thread::spawn(move || alone(&mut engine, &text(9, 1))).join().unwrap();
    assert_eq!(here, there);
}

#[test]
fn observers_see_every_step() {
    struct Seen(Vec<(String, Vec<f32>)>, BufferId);
    impl Observer for Seen {
        fn after_step(&mut self, index: usize, step: &Step, buffers: &BufferView<'_>) {
            assert_eq!(index, self.0.len());
            let out = step.op.writes()[0];
            let found = buffers.get(out).to_vec();
            assert!(found.iter().all(|v| v.is_finite()), "{}", step.label);
            self.0.push((step.label.clone(), found));
            self.1 = out;
        }
    }
    let plan = make(SAMP);
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let steps = engine.plan().manifest().program.steps.len();
    let id = engine.create().unwrap();
    let mut seen = Seen(vec![], BufferId(0));
    let tokens = text(5, 9);
    let chunk = Chunk { sequence: id, tokens: &tokens, outputs: Outputs::Last };
    let logits = engine.step_observed(&[chunk], &mut seen).unwrap();
    assert_eq!((seen.0.len(), seen.1), (steps, engine.plan().manifest().program.logits));
    assert_eq!(seen.0.last().unwrap().1, logits.as_slice());
    assert_eq!(seen.0[0].1.len(), 5 * 64);
}

/// A CPU that fails at its `left`-th step.
struct Failing {
    cpu: Box<dyn Device>,
    left: usize,
}

impl Device for Failing {
    fn step(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut [f32],
        observer: Option<&mut dyn Observer>,
    ) -> Result<(), DeviceError> {
        self.live()?;
        self.cpu.step(batch, logits, observer)
    }

    fn step_and_sample(
        &mut self,
        batch: &Batch<'_>,
        requests: &[SampleRequest],
        sampled: &mut [Option<SampledToken>],
    ) -> Result<(), DeviceError> {
        self.live()?;
        self.cpu.step_and_sample(batch, requests, sampled)
    }

    fn output_logits(
        &mut self,
        batch: &Batch<'_>,
        output: usize,
        logits: &mut [f32],
    ) -> Result<(), DeviceError> {
        self.cpu.output_logits(batch, output, logits)
    }
}

impl Failing {
    fn live(&mut self) -> Result<(), DeviceError> {
        self.left = self.left.wrapping_sub(1);
        let source = std::io::Error::other("broken on purpose");
        let broken = DeviceError::Memory { what: "step", bytes: 1, remedy: "none", source };
        if self.left == 0 { Err(broken) } else { Ok(()) }
    }
}

#[test]
fn after_a_device_fails_the_engine_is_as_before() {
    let plan = make(SAMP);
    let tokens = text(40, 3);
    let whole = alone(&mut plan.engine(DeviceKind::Cpu, None), &tokens);
    // A prompt of 33 tokens after 7 takes three steps of up to 16; the second of them fails.
    let options = EngineOptions { self_test: false, ..EngineOptions::default() };
    let load = |plan, pages| -> Result<Box<dyn Device>, DeviceError> {
        Ok(Box::new(Failing { cpu: DeviceKind::Cpu.load(plan, pages, &Silent)?, left: 3 }))
    };
    let mut engine = Engine::over(open(plan.path()).unwrap().into(), load, options).unwrap();
    let id = engine.create().unwrap();
    let mut logits = engine.append_tokens(id, &tokens[..7], Outputs::All).unwrap().as_slice().to_vec();
    let before = engine.kv_usage();
    let failed = engine.append_tokens(id, &tokens[7..], Outputs::All);
    assert!(matches!(failed, Err(EngineError::Device(_))), "{failed:?}");
    assert_eq!((engine.kv_usage(), engine.len(id).unwrap()), (before, 7));
    logits.extend(engine.append_tokens(id, &tokens[7..], Outputs::All).unwrap().as_slice());
    assert_eq!(logits, whole);
}

#[test]
fn after_choosing_fails_the_engine_is_as_before() {
    let plan = make(SAMP);
    let options = EngineOptions { self_test: false, ..EngineOptions::default() };
    // The last of the three steps chooses the token, and fails.
    let load = |plan, pages| -> Result<Box<dyn Device>, DeviceError> {
        Ok(Box::new(Failing { cpu: DeviceKind::Cpu.load(plan, pages, &Silent)?, left: 3 }))
    };
    let mut engine = Engine::over(open(plan.path()).unwrap().into(), load, options).unwrap();
    let id = engine.create().unwrap();
    let request = Sampler::new(Sampling::default()).unwrap().sample_request().unwrap();
    let failed = engine.append_and_sample(id, &text(40, 3), request);
    assert!(matches!(failed, Err(EngineError::Device(_))), "{failed:?}");
    assert_eq!((engine.len(id).unwrap(), engine.kv_usage().used_pages), (0, 0));
}
