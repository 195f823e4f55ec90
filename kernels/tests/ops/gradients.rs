//! Gradients against differences of the references.

use crate::Numbers;
use samp_abi::Format;
use samp_kernels::{
    attention::{self, AttentionArgs, KvGeometry, SequenceSlice},
    elementwise::{self, SiluMulArgs},
    encoded::AlignedBytes,
    gradient::{self, AttentionShape, RopeTable},
    rms_norm::{self, RmsNormArgs},
    rope::{self, RopeAppendArgs},
};

/// How far an input is moved each way: the references' results are f32, whose rounding divides by it.
const STEP: f32 = 1.0 / 64.0;

/// Compares a gradient by `x`, given what each output counts, with differences of `run` at some of its elements.
fn check(x: &[f32], counts: &[f32], found: &[f32], run: impl Fn(&[f32]) -> Vec<f32>, what: &str) {
    let scalar = |x: &[f32]| -> f64 {
        run(x).iter().zip(counts).map(|(out, count)| f64::from(*out) * f64::from(*count)).sum()
    };
    let largest = found.iter().fold(0.0f32, |most, g| most.max(g.abs()));
    for at in (0..x.len()).step_by(x.len().div_ceil(97)) {
        let moved = |by: f32| {
            let mut x = x.to_vec();
            x[at] += by;
            scalar(&x)
        };
        // Of fourth order: a third of the difference over twice the step is taken off.
        let near = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
        let far = (moved(2.0 * STEP) - moved(-2.0 * STEP)) / f64::from(4.0 * STEP);
        let wanted = (4.0 * near - far) / 3.0;
        let within = 2e-4 * f64::from(largest);
        assert!((f64::from(found[at]) - wanted).abs() <= within, "{what} {at}: {} of {wanted}", found[at]);
    }
}

#[test]
fn of_rms_norm() {
    let mut numbers = Numbers::new(1);
    for (rows, width) in [(3, 5), (2, 64), (1, 97)] {
        let (x, weight) = (numbers.normals(rows * width, 1.0), numbers.normals(width, 1.0));
        let counts = numbers.normals(rows * width, 1.0);
        // What was there is added to.
        let mut found = vec![1.0; x.len()];
        gradient::rms_norm(&x, &weight, 1e-2, &counts, &mut found);
        found.iter_mut().for_each(|g| *g -= 1.0);
        let run = |x: &[f32]| {
            let mut out = vec![0.0; x.len()];
            rms_norm::reference::rms_norm(RmsNormArgs { x, weight: &weight, eps: 1e-2, out: &mut out });
            out
        };
        check(&x, &counts, &found, run, "rms_norm");
    }
}

#[test]
fn of_silu_mul() {
    let mut numbers = Numbers::new(2);
    for (rows, width) in [(1, 1), (3, 20)] {
        let (x, counts) = (numbers.normals(rows * 2 * width, 2.0), numbers.normals(rows * width, 1.0));
        let mut found = vec![0.0; x.len()];
        gradient::silu_mul(&x, width, &counts, &mut found);
        let run = |gate_up: &[f32]| {
            let mut out = vec![0.0; counts.len()];
            elementwise::reference::silu_mul(SiluMulArgs { gate_up, width, out: &mut out });
            out
        };
        check(&x, &counts, &found, run, "silu_mul");
    }
}

/// RoPE and attention, by what goes into both.
#[test]
fn of_attention() {
    let mut numbers = Numbers::new(3);
    let cases = [(1, 1, 8, None), (4, 2, 16, None), (6, 2, 6, Some(3)), (3, 3, 64, Some(1))];
    // All channels turned; some of them, and stretched; none.
    let turned = |head_dim: usize| [(head_dim / 2, 1.0), (head_dim / 4, 1.25), (0, 1.0)];
    let cases = cases.into_iter().flat_map(|case| turned(case.2).map(|turned| (case, turned)));
    for ((heads, kv_heads, head_dim, window), (pairs, rope_scale)) in cases {
        let lengths = [5, 1, 9];
        let tokens: usize = lengths.iter().sum();
        let x = numbers.normals(tokens * (heads + 2 * kv_heads) * head_dim, 1.0);
        let counts = numbers.normals(tokens * heads * head_dim, 1.0);
        let inv_frequencies: Vec<f64> = (0..pairs).map(|i| 0.5f64.powi(i as i32)).collect();
        let shape = AttentionShape { heads, kv_heads, head_dim, window };
        let mut found = vec![0.0; x.len()];
        let rope = RopeTable::new(&inv_frequencies, rope_scale, 9);
        gradient::attention(shape, &rope, &lengths, &x, &counts, &mut found);
        let kv = KvGeometry { format: Format::F32, scales: [1.0; 2], kv_heads, head_dim, page_tokens: 16 };
        let pages = [[0], [1], [2]];
        let sequences: Vec<SequenceSlice<'_>> = lengths
            .iter()
            .zip(&pages)
            .map(|(&tokens, pages)| SequenceSlice { start: 0, tokens, pages })
            .collect();
        let run = |qkv: &[f32]| {
            let mut pool = AlignedBytes::zeroed(3 * kv.page_bytes());
            let mut q = vec![0.0; counts.len()];
            rope::reference::rope_append(RopeAppendArgs {
                qkv,
                heads,
                inv_frequencies: &inv_frequencies,
                rope_scale,
                sequences: &sequences,
                kv,
                pool: &mut pool,
                out: &mut q,
            });
            let mut out = vec![0.0; counts.len()];
            let sequences = &sequences;
            attention::reference::paged_attention(AttentionArgs {
                q: &q,
                heads,
                window,
                sequences,
                kv,
                pool: &pool,
                out: &mut out,
            });
            out
        };
        check(
            &x,
            &counts,
            &found,
            run,
            &format!("{heads} heads, {kv_heads} of keys, {head_dim}, {window:?}"),
        );
    }
}
