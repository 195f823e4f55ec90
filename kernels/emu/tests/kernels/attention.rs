//! attention_decode and attention_prefill against the reference.

use half::{bf16, f16};
use samp_emulator::{Arg, Buffer, Build, Edit, FaultKind, Kernel, Launch, LaunchError, Options};
use samp_kernels::{
    attention::{AttentionArgs, reference},
    cuda::{Activation, Source},
};

use crate::{
    cache::{Batch, Heads},
    harness::*,
};

const SMALL: Heads = Heads { heads: 8, kv_heads: 2, head_dim: 32, page_tokens: 16, fp8: false };
const LARGE: Heads = Heads { heads: 8, kv_heads: 1, head_dim: 128, page_tokens: 64, fp8: false };
const EACH: Heads = Heads { heads: 3, kv_heads: 3, head_dim: 64, page_tokens: 16, fp8: false };
/// More heads share keys than a tile has rows.
const MANY: Heads = Heads { heads: 40, kv_heads: 2, head_dim: 32, page_tokens: 16, fp8: false };

fn queries(batch: &Batch) -> Vec<f16> {
    // Large enough that some positions matter much more than others.
    let count = batch.tokens() * batch.heads.heads * batch.heads.head_dim;
    Numbers::new(3).halves(count).into_iter().map(|x| x * f16::from_f32(3.0)).collect()
}

fn expected(batch: &Batch, queries: &[f16], window: usize) -> Vec<f32> {
    let mut out = vec![0.0; queries.len()];
    reference::paged_attention(AttentionArgs {
        q: &widened(queries),
        heads: batch.heads.heads,
        window: (window > 0).then_some(window),
        sequences: &batch.slices(),
        kv: batch.heads.geometry(),
        pool: &batch.pool,
        out: &mut out,
    });
    out
}

/// Launches a kernel with arguments.
type Run<'a> = dyn Fn(Launch, &[Arg<'_>]) -> Result<(), LaunchError> + 'a;
/// Prepares the arguments of one of the two kernels, which writes to the buffer.
type Launcher = fn(&Batch, &[f16], &mut Buffer<f16>, &Run<'_>) -> Result<(), LaunchError>;

/// Blocks that share a token's positions.
const SPLITS: u32 = 3;

fn decode(batch: &Batch, queries: &[f16], out: &mut Buffer<f16>, run: &Run<'_>) -> Result<(), LaunchError> {
    let heads = batch.heads;
    let attention = heads.attention(0);
    let (q, positions, sequences) = (Buffer::from(queries), batch.positions(), batch.sequences());
    let (table, most) = batch.page_table();
    let pool = Buffer::from(&batch.pool[..]);
    let [key_scale, value_scale] = heads.geometry().scales;
    let (sums, counters) = attention.decode_workspace(batch.tokens() as u32, SPLITS);
    let mut parts = Buffer::<f32>::poisoned(sums as usize);
    let mut arrived = Buffer::from(&vec![0u32; counters as usize][..]);
    let args = [
        Arg::read(&q),
        Arg::read(&pool),
        Arg::read(&positions),
        Arg::read(&sequences),
        Arg::read(&table),
        most.into(),
        Arg::write(out),
        key_scale.into(),
        value_scale.into(),
        Arg::write(&mut parts),
        Arg::write(&mut arrived),
        (batch.tokens() as i32).into(),
    ];
    run(attention.decode_grid(batch.tokens() as u32, SPLITS).into(), &args)?;
    assert!(arrived.iter().all(|&count| count == 0), "arrivals are left at zero");
    Ok(())
}

fn prefill(batch: &Batch, queries: &[f16], out: &mut Buffer<f16>, run: &Run<'_>) -> Result<(), LaunchError> {
    let heads = batch.heads;
    let (q, positions, starts) = (Buffer::from(queries), batch.positions(), batch.starts());
    let (table, most) = batch.page_table();
    let pool = Buffer::from(&batch.pool[..]);
    let [key_scale, value_scale] = heads.geometry().scales;
    let sequences = starts.len() - 1;
    // A sequence more than there are.
    let grid = heads.attention(0).prefill_grid(batch.tokens() as u32, sequences as u32 + 1);
    let args = [
        Arg::read(&q),
        Arg::read(&pool),
        Arg::read(&positions),
        Arg::read(&starts),
        (sequences as i32).into(),
        Arg::read(&table),
        most.into(),
        Arg::write(out),
        key_scale.into(),
        value_scale.into(),
    ];
    run(grid.into(), &args)
}

/// Weights are rounded to f16 before they meet values of up to 1.
const ABSOLUTE: f32 = 3e-4;

fn attention_source(stem: &str, heads: Heads, window: usize, activation: Activation) -> Source {
    let attention = heads.attention(window).with(activation);
    if stem == "attention_decode" { attention.decode() } else { attention.prefill() }
}

fn check(stem: &str, launcher: Launcher, heads: Heads, window: usize, spans: &[(usize, usize)]) {
    let subject = Subject::new(&attention_source(stem, heads, window, Activation::F16));
    let batch = Batch::new(heads, spans, true);
    let queries = queries(&batch);
    let expected = expected(&batch, &queries, window);
    for way in WAYS {
        let mut out = Buffer::<f16>::poisoned(expected.len());
        let run = |launch: Launch, args: &[Arg<'_>]| {
            subject.run(way, launch, args);
            Ok(())
        };
        launcher(&batch, &queries, &mut out, &run).expect("ran");
        let excess = excess(widened(&out), &expected, ABSOLUTE, HALF_ULP);
        assert!(excess <= 1.0, "{stem} {heads:?} window {window} {way:?}: {excess}");
        println!("{stem} {heads:?} window {window}: {excess:.2} of the tolerance");
    }
}

#[test]
fn decode_is_the_references() {
    let spans = [(0, 1), (15, 1), (16, 1), (200, 1), (330, 2)];
    check("attention_decode", decode, SMALL, 0, &spans);
    check("attention_decode", decode, Heads { fp8: true, ..SMALL }, 50, &spans);
    check("attention_decode", decode, LARGE, 0, &[(130, 1), (3, 1)]);
    check("attention_decode", decode, Heads { fp8: true, ..LARGE }, 0, &[(130, 1), (3, 1)]);
    check("attention_decode", decode, EACH, 7, &[(40, 1), (2, 1)]);
    check("attention_decode", decode, MANY, 0, &[(70, 1)]);
}

#[test]
fn prefill_is_the_references() {
    let spans = [(0, 1), (0, 37), (21, 16), (100, 3)];
    check("attention_prefill", prefill, SMALL, 0, &spans);
    check("attention_prefill", prefill, Heads { fp8: true, ..SMALL }, 19, &spans);
    check("attention_prefill", prefill, LARGE, 0, &[(60, 11)]);
    check("attention_prefill", prefill, Heads { fp8: true, ..LARGE }, 0, &[(60, 11)]);
    check("attention_prefill", prefill, EACH, 5, &[(0, 70)]);
    check("attention_prefill", prefill, MANY, 0, &[(7, 9)]);
}

#[test]
fn bf16_queries_and_results() {
    let batch = Batch::new(SMALL, &[(40, 2), (3, 20)], true);
    // Such as both formats can hold, in the bits of bf16.
    let exact: Vec<f16> =
        queries(&batch).iter().map(|x| f16::from_f32((x.to_f32() * 32.0).round() / 32.0)).collect();
    let bits = |x: &f16| f16::from_bits(bf16::from_f32(x.to_f32()).to_bits());
    let queries: Vec<f16> = exact.iter().map(bits).collect();
    let expected = expected(&batch, &exact, 0);
    for (stem, launcher) in [("attention_decode", decode as Launcher), ("attention_prefill", prefill)] {
        let subject = Subject::new(&attention_source(stem, SMALL, 0, Activation::Bf16));
        let mut out = Buffer::<f16>::poisoned(expected.len());
        let run = |launch: Launch, args: &[Arg<'_>]| {
            subject.run(WAYS[2], launch, args);
            Ok(())
        };
        launcher(&batch, &queries, &mut out, &run).expect("ran");
        let found = out.iter().map(|x| bf16::from_bits(x.to_bits()).to_f32());
        let excess = excess(found, &expected, ABSOLUTE, 1.0 / 256.0);
        assert!(excess <= 1.0, "{stem}: {excess}");
    }
}

/// The first fault of an edited kernel, or how far its results are off.
fn edited(stem: &'static str, launcher: Launcher, edit: Edit<'_>) -> Result<f32, LaunchError> {
    let kernel = compiled(&attention_source(stem, SMALL, 0, Activation::F16), &[edit], Build::Checked);
    let batch = Batch::new(SMALL, &[(150, 2), (5, 3)], true);
    let queries = queries(&batch);
    let expected = expected(&batch, &queries, 0);
    let mut worst = 0.0f32;
    let run = |kernel: &Kernel, options: Options| {
        let mut out = Buffer::<f16>::poisoned(expected.len());
        let run = |size: Launch, args: &[Arg<'_>]| kernel.launch(size, options, args).map(|_| ());
        launcher(&batch, &queries, &mut out, &run)?;
        worst = worst.max(excess(widened(&out), &expected, ABSOLUTE, HALF_ULP));
        Ok(())
    };
    match first_fault(&kernel, run) {
        Some(error) => Err(error),
        None => Ok(worst),
    }
}

fn assert_fault(result: Result<f32, LaunchError>, kind: FaultKind) {
    let error = result.expect_err("a fault");
    assert_eq!(error.fault().expect("a fault").kind, kind, "{error}");
}

#[test]
fn attention_without_barrier_mask_or_bound_is_caught() {
    let file = "attention_decode.cu";
    let before_merge = Edit {
        file,
        from: "  write_part(own_parts + warp * PART, attended, lane);\n  block_sync();\n",
        to: "  write_part(own_parts + warp * PART, attended, lane);\n",
    };
    assert_fault(edited("attention_decode", decode, before_merge), FaultKind::Race);
    let before_flag = Edit {
        file,
        from: "  block_sync();\n  if (*flag == 0) return;\n",
        to: "  if (*flag == 0) return;\n",
    };
    assert_fault(edited("attention_decode", decode, before_flag), FaultKind::Race);

    let (file, to) = ("attention.cuh", "visible.first[row] <= position;");
    let mask = Edit { file, from: "visible.first[row] <= position && position <= visible.last[row];", to };
    let clamp = Edit { file, from: "least(g + i * 8, most)", to: "(g + i * 8)" };
    let clamp_values =
        Edit { file, from: "least(t * 2 + i % 2 + i / 2 * 8, most)", to: "(t * 2 + i % 2 + i / 2 * 8)" };
    for (stem, launcher) in [("attention_decode", decode as Launcher), ("attention_prefill", prefill)] {
        assert!(
            edited(stem, launcher, mask).expect("no fault") > 10.0,
            "{stem}: a lost mask changes results"
        );
        assert!(
            edited(stem, launcher, clamp_values).expect("no fault") > 10.0,
            "{stem}: NaN reaches the result"
        );
        // Scores of positions that were never written are masked, whatever they are.
        assert!(edited(stem, launcher, clamp).expect("no fault") <= 1.0, "{stem}");
    }
    let file = "attention_prefill.cu";
    let bound = Edit { file, from: "    if (first_row + lane / 4 + i * 8 >= rows) continue;\n", to: "" };
    assert!(edited("attention_prefill", prefill, bound).is_ok(), "rows beyond the last repeat it");
    let rows = Edit { file, from: "  if (first_row >= rows) return;\n", to: "" };
    assert_fault(edited("attention_prefill", prefill, rows), FaultKind::Bounds);
}
