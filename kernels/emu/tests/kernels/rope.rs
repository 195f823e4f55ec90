//! rope_append against its reference.

use half::f16;
use samp_emulator::{Arg, Buffer, Build, Edit, FaultKind, Kernel, Launch, LaunchError, Options};
use samp_kernels::{
    format::fp8_to_f32,
    rope::{RopeAppendArgs, reference},
};

use crate::{
    cache::{Batch, Heads},
    harness::*,
};

const SMALL: Heads = Heads { heads: 8, kv_heads: 2, head_dim: 32, page_tokens: 16, fp8: false };
const LARGE: Heads = Heads { heads: 10, kv_heads: 5, head_dim: 128, page_tokens: 64, fp8: false };

fn frequencies(heads: Heads) -> Vec<f64> {
    let half = heads.head_dim / 2;
    (0..half).map(|i| 500_000f64.powf(-(i as f64) / half as f64)).collect()
}

fn inputs(batch: &Batch) -> Vec<f16> {
    let heads = batch.heads;
    Numbers::new(5).halves(batch.tokens() * (heads.heads + 2 * heads.kv_heads) * heads.head_dim)
}

/// Launches into `q` and `pool`.
fn launch(
    batch: &Batch,
    qkv: &[f16],
    q: &mut Buffer<f16>,
    pool: &mut Buffer<u8>,
    run: impl FnOnce(Launch, &[Arg<'_>]) -> Result<(), LaunchError>,
) -> Result<(), LaunchError> {
    let heads = batch.heads;
    let half_turns: Buffer<f64> = frequencies(heads).iter().map(|f| f / std::f64::consts::PI).collect();
    let (qkv, positions, sequences) = (Buffer::from(qkv), batch.positions(), batch.sequences());
    let (table, most) = batch.page_table();
    let [key_scale, value_scale] = heads.geometry().scales;
    let grid = heads.attention(0).rope_append_grid(batch.tokens() as u32 + 1);
    let args = [
        Arg::read(&qkv),
        Arg::read(&half_turns),
        Arg::read(&positions),
        Arg::read(&sequences),
        Arg::read(&table),
        most.into(),
        Arg::write(q),
        Arg::write(pool),
        key_scale.into(),
        value_scale.into(),
        (batch.tokens() as i32).into(),
    ];
    run(grid.into(), &args)
}

/// Stored values; what was never written is NaN.
fn stored(heads: Heads, pool: &[u8]) -> Vec<f32> {
    match heads.fp8 {
        true => pool.iter().map(|&code| fp8_to_f32(code)).collect(),
        false => pool.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
    }
}

fn check(heads: Heads, spans: &[(usize, usize)]) {
    let subject = Subject::new(&heads.attention(0).rope_append());
    let batch = Batch::new(heads, spans, false);
    let qkv = inputs(&batch);
    let mut expected_q = vec![0.0; batch.tokens() * heads.heads * heads.head_dim];
    let mut expected_pool = batch.pool.clone();
    reference::rope_append(RopeAppendArgs {
        qkv: &widened(&qkv),
        heads: heads.heads,
        inv_frequencies: &frequencies(heads),
        sequences: &batch.slices(),
        kv: heads.geometry(),
        pool: &mut expected_pool,
        out: &mut expected_q,
    });
    for way in WAYS {
        let mut q = Buffer::<f16>::poisoned(expected_q.len());
        let mut pool = Buffer::<u8>::poisoned(batch.pool.len());
        let run = |launch, args: &[Arg<'_>]| {
            subject.run(way, launch, args);
            Ok(())
        };
        launch(&batch, &qkv, &mut q, &mut pool, run).expect("ran");
        let excess = excess(widened(&q), &expected_q, 3e-7, 1.001 * HALF_ULP);
        assert!(excess <= 1.0, "{heads:?} {way:?}: {excess}");
        let (found, expected) = (stored(heads, &pool), stored(heads, &expected_pool));
        let equal = |(a, b): &(&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
        let differing = found.iter().zip(&expected).filter(|pair| !equal(pair));
        // A rounding in f32 now and then tips one of the cache's format.
        let step = if heads.fp8 { 0.13 } else { 1e-3 };
        let off: Vec<_> = differing.collect();
        assert!(off.len() * 1000 <= found.len(), "{heads:?} {way:?}: {} differ", off.len());
        assert!(
            off.iter().all(|(a, b)| (*a - *b).abs() <= step * b.abs() + 1e-6),
            "{heads:?} {way:?}: {off:?}"
        );
    }
}

#[test]
fn rope_append_is_the_references() {
    let spans = [(0, 3), (5000, 2), (15, 18), (100_000, 1)];
    check(SMALL, &spans);
    check(Heads { fp8: true, ..SMALL }, &spans);
    check(LARGE, &[(63, 3), (0, 1)]);
    check(Heads { fp8: true, ..LARGE }, &[(63, 3), (0, 1)]);
}

#[test]
fn rope_append_without_barrier_is_caught() {
    let batch = Batch::new(SMALL, &[(0, 2)], false);
    let edit = Edit { file: "rope_append.cu", from: "  block_sync();\n", to: "" };
    let kernel = compiled(&SMALL.attention(0).rope_append(), &[edit], Build::Checked);
    let run = |kernel: &Kernel, options: Options| {
        let mut q = Buffer::<f16>::poisoned(batch.tokens() * 8 * 32);
        let mut pool = Buffer::<u8>::poisoned(batch.pool.len());
        let run = |size, args: &[Arg<'_>]| kernel.launch(size, options, args).map(|_| ());
        launch(&batch, &inputs(&batch), &mut q, &mut pool, run)
    };
    let error = first_fault(&kernel, run).expect("a race");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Race, "{error}");
}
