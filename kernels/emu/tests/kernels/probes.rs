//! Probes: what single wrappers of the device do, against what they are defined to do.

use half::{bf16, f16};
use samp_emulator::{Arg, Buffer, Launch, Stats};
use samp_kernels::format::{f32_to_fp8, fp8_to_f32};

use crate::harness::*;

fn pair(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

fn f16_pair(low: f32, high: f32) -> u32 {
    pair(f16::from_f32(low).to_bits(), f16::from_f32(high).to_bits())
}

/// A function of two f16 values applied to the halves of words.
fn by_half(a: u32, b: u32, f: impl Fn(f64, f64) -> f64) -> u32 {
    let half = |word: u32, shift: u32| f16::from_bits((word >> shift) as u16).to_f64();
    let of = |shift| f16::from_f64(f(half(a, shift), half(b, shift))).to_bits();
    pair(of(0), of(16))
}

/// What `probe_numbers` writes for value `i`, exact words only.
fn number_words(x: &[f32], i: usize) -> [u32; 13] {
    let (v, other) = (x[i], x[(i + 1) % x.len()]);
    let (forth, back) = (f16_pair(v, other), f16_pair(other, v));
    let (code, second) = ((i % 127) as u8, (i * 3 % 127) as u8 | 128);
    let selector = (i as u32).wrapping_mul(0x9e37_79b9) & 0x7777;
    let bytes = [forth.to_le_bytes(), back.to_le_bytes()].concat();
    let permuted = [0, 4, 8, 12].map(|shift| bytes[(selector >> shift & 7) as usize]);
    let fused_low = by_half(forth, back, |a, b| a * b - 1.0) & 0xffff;
    let fused_high = by_half(forth, back, |a, b| a * b + 1.0) & 0xffff_0000;
    [
        pair(f16::from_f32(v).to_bits(), bf16::from_f32(v).to_bits()),
        f16::from_bits(i as u16).to_f32().to_bits(),
        bf16::from_bits(i as u16).to_f32().to_bits(),
        forth,
        pair(bf16::from_f32(v).to_bits(), bf16::from_f32(other).to_bits()),
        by_half(forth, back, |a, b| a + b),
        fused_low | fused_high,
        u32::from(f32_to_fp8(v)) | fp8_to_f32(code).to_bits() << 8,
        f16_pair(fp8_to_f32(code), fp8_to_f32(second)),
        u32::from_le_bytes(permuted),
        (v * 4.0).round_ties_even() as i32 as u32,
        f32_to_fp8(v).into(),
        f16_pair(fp8_to_f32(code), fp8_to_f32(second)),
    ]
}

#[test]
fn numbers_are_converted_exactly() {
    let subject = Subject::new(&source("probe_numbers", &[]));
    let mut numbers = Numbers::new(1);
    // Values of every magnitude that f16 and E4M3 have, and ties.
    let mut x: Vec<f32> = (0..2000).map(|i| numbers.next() * 2f32.powi(i % 26 - 15)).collect();
    x.extend([0.0, -0.0, 448.0, 464.0, 500.0, 1.0 / 1024.0, 3.0 / 1024.0, 17.0, 19.0, -65504.0]);
    let input = Buffer::from(&x[..]);
    for way in WAYS {
        let mut out = Buffer::<u32>::poisoned(x.len() * 14);
        let args = [Arg::read(&input), Arg::write(&mut out), (x.len() as i32).into()];
        subject.run(way, Launch::linear(x.len().div_ceil(128) as u32, 128), &args);
        for (i, words) in out.chunks_exact(14).enumerate() {
            assert_eq!(words[..13], number_words(&x, i), "{} at {i}", x[i]);
            let [exponential, rest] =
                [0, 16].map(|shift| f16::from_bits((words[13] >> shift) as u16).to_f32());
            let (sine, cosine) = (std::f32::consts::PI * x[i]).sin_cos();
            let expected = [x[i].exp2(), (x[i] * x[i] + 1.0).sqrt().recip() + sine + cosine];
            // The angle in f32 loses what the device's half turns keep.
            let bound = 2e-3 + x[i].abs() * 1e-6;
            assert!((rest - expected[1]).abs() <= bound, "{} at {i}: {rest}, {}", x[i], expected[1]);
            let close = (exponential - expected[0]).abs() <= expected[0] * HALF_ULP * 1.01 + 1e-7;
            assert!(close || expected[0] > 65000.0, "{} at {i}: {exponential}", x[i]);
        }
    }
}

#[test]
fn warps_exchange_values() {
    let subject = Subject::new(&source("probe_warp", &[]));
    let x: Vec<u32> = Numbers::new(9).floats(32).iter().map(|v| v.to_bits()).collect();
    let votes = (0..32).fold(0, |votes, lane| votes | u32::from(x[lane].is_multiple_of(3)) << lane);
    let input = Buffer::from(&x[..]);
    for way in WAYS {
        let mut out = Buffer::<u32>::poisoned(32 * 8);
        subject.run(way, Launch::linear(1, 32), &[Arg::read(&input), Arg::write(&mut out)]);
        for (lane, words) in out.chunks_exact(8).enumerate() {
            let expected = [
                x[lane * 7 % 32],
                x[lane ^ 5],
                x[lane.checked_sub(3).unwrap_or(lane)],
                x[if lane + 9 < 32 { lane + 9 } else { lane }],
                votes,
                ((lane ^ 16) as f32).to_bits(),
                ((lane + 1).min(31) as f32).to_bits(),
                29f32.to_bits(),
            ];
            assert_eq!(words, expected, "lane {lane} {way:?}");
        }
    }
}

#[test]
fn barriers_order_and_atomics_add() {
    let subject = Subject::new(&source("probe_sync", &[]));
    let x: Vec<i32> = (0..128).map(|i| i * i % 37 - 9).collect();
    let near = |i: usize, by: usize| x[i / 64 * 64 + (i + by) % 64];
    let sums: Vec<i32> = (0..128).map(|i| near(i, 63) + near(i, 1)).collect();
    let input = Buffer::from(&x[..]);
    for way in WAYS {
        let mut out = Buffer::<i32>::poisoned(128);
        let (mut total, mut float_total) = (Buffer::from(&[5][..]), Buffer::from(&[0.5f32][..]));
        let args =
            [Arg::read(&input), Arg::write(&mut out), Arg::write(&mut total), Arg::write(&mut float_total)];
        subject.run(way, Launch::linear(3, 128).shared(512), &args);
        assert!((0..128).all(|i| out[i] == sums[i ^ 31]), "{way:?}");
        let sum: i32 = sums.iter().sum();
        assert_eq!((total[0], float_total[0]), (5 + 3 * sum, 0.5 + 3.0 * sum as f32), "{way:?}");
    }
}

/// `a · b`, of `[rows, depth]` and `[depth, columns]`, in f64.
fn product(a: &[f32], b: impl Fn(usize, usize) -> f32, depth: usize, columns: usize) -> Vec<f32> {
    let of = |row: usize, column: usize| {
        let terms = (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(b(k, column)));
        terms.sum::<f64>() as f32
    };
    (0..a.len() / depth)
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .map(|(r, c)| of(r, c))
        .collect()
}

/// Values as f16, or bf16 where `narrow`, and what they stand for.
fn sixteen_bits(numbers: &mut Numbers, count: usize, narrow: bool) -> (Vec<u16>, Vec<f32>) {
    let each = |_| {
        let (half, bfloat) = (f16::from_f32(numbers.next()), bf16::from_f32(numbers.next()));
        if narrow { (bfloat.to_bits(), bfloat.to_f32()) } else { (half.to_bits(), half.to_f32()) }
    };
    (0..count).map(each).unzip()
}

#[test]
fn warps_multiply_matrices() {
    for (defines, narrow) in [(&[][..], false), (&[("BF16", 1)], true)] {
        let subject = Subject::new(&source("probe_matrix", defines));
        let mut numbers = Numbers::new(4);
        let (a, wide_a) = sixteen_bits(&mut numbers, 256, narrow);
        let (b, wide_b) = sixteen_bits(&mut numbers, 128, narrow);
        let expected = product(&wide_a, |k, column| wide_b[k * 8 + column], 16, 8);
        let b_rows: Buffer<u16> = (0..128).map(|i| b[i % 16 * 8 + i / 16]).collect();
        let (a, b) = (Buffer::from(&a[..]), Buffer::from(&b[..]));
        for way in WAYS {
            let mut out = Buffer::<f32>::poisoned(256);
            let args = [Arg::read(&a), Arg::read(&b), Arg::read(&b_rows), Arg::write(&mut out)];
            subject.run(way, Launch::linear(1, 32).shared(1024), &args);
            for half in out.chunks_exact(128) {
                let excess = excess(half.iter().copied(), &expected, 1e-5, 0.0);
                assert!(excess <= 1.0, "{defines:?} {way:?}: {excess}");
            }
        }
    }
}

#[test]
fn copies_arrive() {
    let subject = Subject::new(&source("probe_copy", &[]));
    let (turns, valid) = (7, 7 * 64 - 5);
    let x: Vec<u8> = (0..turns * 1024).map(|i| (i * 31 % 251) as u8).collect();
    let mut expected = x.clone();
    expected[valid * 16..].fill(0);
    let input = Buffer::from(&x[..valid * 16]);
    for way in WAYS {
        let mut out = Buffer::<u8>::poisoned(x.len());
        let args = [Arg::read(&input), Arg::write(&mut out), turns.into(), (valid as i32).into()];
        subject.run(way, Launch::linear(1, 64).shared(3072), &args);
        assert_eq!(out[..], expected[..], "{way:?}");
    }
    let subject = Subject::new(&source("probe_bulk", &[]));
    let input = Buffer::from(&x[..]);
    for way in WAYS {
        let mut out = Buffer::<u8>::poisoned(x.len());
        let args = [Arg::read(&input), Arg::write(&mut out), turns.into()];
        subject.run(way, Launch::linear(1, 64).shared(1032), &args);
        assert_eq!(out[..], x[..], "{way:?}");
    }
}

#[test]
fn warpgroups_multiply_matrices() {
    for (columns, narrow) in [(16, false), (32, false), (64, false), (128, false), (16, true), (128, true)] {
        let defines = [("COLUMNS", columns), ("BF16", 1)];
        let subject = Subject::new(&source("probe_wgmma", &defines[..1 + usize::from(narrow)]));
        let depth = 320;
        let mut numbers = Numbers::new(6);
        // Fewer rows than the box has: the others are zero.
        let rows = columns - 3;
        let ((a, wide_a), (b, wide_b)) = (
            sixteen_bits(&mut numbers, 64 * depth, narrow),
            sixteen_bits(&mut numbers, rows * depth, narrow),
        );
        let value = |k: usize, column: usize| if column < rows { wide_b[column * depth + k] } else { 0.0 };
        let expected = product(&wide_a, value, depth, columns);
        let (a, b) = (Buffer::from(&a[..]), Buffer::from(&b[..]));
        for way in WAYS {
            let mut out = Buffer::<f32>::poisoned(64 * columns);
            let map = Arg::tensor(&b, depth, [columns as u32, 64]);
            let args = [Arg::read(&a), map, Arg::write(&mut out), (depth as i32).into()];
            let launch = Launch::linear(1, 160).shared(2 * (columns * 128 + 16));
            subject.run(way, launch, &args);
            let excess = excess(out.iter().copied(), &expected, 1e-4, 0.0);
            assert!(excess <= 1.0, "{columns} {way:?}: {excess}");
        }
    }
}

#[test]
fn bf16_products_are_rounded_once() {
    let subject = Subject::new(&source("probe_bf16", &[]));
    let mut numbers = Numbers::new(5);
    let count = 3000;
    // Products and sums of such values are exact in f64, subnormal ones among them.
    let mut draw = |least: i32| -> Vec<[bf16; 2]> {
        let mut value = || bf16::from_f32(numbers.next() * 2f32.powi(least + numbers.below(12) as i32));
        (0..count).map(|_| [value(), value()]).collect()
    };
    let (a, mut b, c) = (draw(-8), draw(-8), draw(-12));
    let small = draw(-134);
    let tiny: Vec<usize> = (0..count).step_by(3).collect();
    let (mut a, mut c) = (a, c);
    for &i in &tiny {
        (a[i], b[i], c[i]) = (small[i], [bf16::from_f32(2f32.powi(120)); 2], [bf16::NEG_ZERO; 2]);
    }
    let words = |values: &[[bf16; 2]]| -> Buffer<u32> {
        values.iter().map(|[low, high]| pair(low.to_bits(), high.to_bits())).collect()
    };
    let (x, y, z) = (words(&a), words(&b), words(&c));
    for way in WAYS {
        let mut out = Buffer::<u32>::poisoned(count);
        let args = [Arg::read(&x), Arg::read(&y), Arg::read(&z), Arg::write(&mut out), (count as i32).into()];
        subject.run(way, Launch::linear(count.div_ceil(128) as u32, 128), &args);
        for (i, word) in out.iter().enumerate() {
            let [low, high] = [0, 1].map(|half| {
                let [a, b, c] = [a[i][half], b[i][half], c[i][half]].map(|x| x.to_f64());
                bf16::from_f64(a * b + c).to_bits()
            });
            assert_eq!(*word, pair(low, high), "{:?} {:?} {:?}", a[i], b[i], c[i]);
        }
    }
}

#[test]
fn numbers_of_64_bits() {
    let subject = Subject::new(&source("probe_wide", &[]));
    let mut numbers = Numbers::new(10);
    let x: Vec<f64> = (0..32).map(|_| f64::from(numbers.next()).abs() * 50.0 + 1.0 / 3.0).collect();
    let bits: Vec<u64> = x.iter().map(|x| x.to_bits()).collect();
    let input = Buffer::from(&bits[..]);
    for way in WAYS {
        let mut out = Buffer::<u64>::poisoned(32 * 8);
        subject.run(way, Launch::linear(1, 32), &[Arg::read(&input), Arg::write(&mut out)]);
        for (lane, words) in out.chunks_exact(8).enumerate() {
            let (a, b) = (x[lane], x[lane ^ 11]);
            let high = (u128::from(bits[lane]) * u128::from(!bits[lane ^ 11])) >> 64;
            let expected = [
                bits[lane ^ 11],
                bits[lane.checked_sub(5).unwrap_or(lane)],
                high as u64,
                (a - b).to_bits(),
                (a * b - 1.0).to_bits(),
                (a / b).to_bits(),
                (a * 4096.0) as u64,
            ];
            assert_eq!(words[..7], expected, "lane {lane} {way:?}");
            assert!((f64::from_bits(words[7]) - a.ln()).abs() < 1e-14, "lane {lane} {way:?}");
        }
    }
}

#[test]
fn launches_say_what_they_did() {
    let kernel = compiled(&source("probe_bulk", &[]), &[], samp_emulator::Build::Plain);
    let input = Buffer::from(&vec![1u8; 2048][..]);
    let mut out = Buffer::<u8>::poisoned(2048);
    let args = [Arg::read(&input), Arg::write(&mut out), 2.into()];
    let launch = |seed| {
        let options = samp_emulator::Options { seed, ..Default::default() };
        kernel.launch(Launch::linear(3, 64).shared(1032), options, &args).expect("runs")
    };
    let stats: Stats = launch(1);
    assert_eq!((stats.blocks, stats.copied_bytes, stats.checked), (3, 3 * 2048, 0));
    assert_eq!(stats, launch(1), "the same seed gives the same schedule");
    assert_ne!(stats.switches, launch(2).switches);
}
