//! Cases of single wrappers of the device against what they are defined to do.

use half::{bf16, f16};

use samp_abi::Format;

use super::{Arg, Check, KernelCase, Near, RandomValues, activations::ActivationType as _, patterns, source};
use samp_kernels::{
    cuda::{Activation, Grid, Source},
    format::f32_to_fp8,
};

/// The cases of every probe.
pub fn cases() -> Vec<KernelCase> {
    let of_numbers = [numbers(), patterns::kernel_case(), pairs(), wide()];
    let of_threads = [warp(), sync(), handoff(), copy(), stream(), bulk(), fence()];
    let matrices = [Activation::F16, Activation::Bf16].into_iter().flat_map(|of| {
        let warpgroups = COLUMNS.map(|columns| warpgroup(columns, of));
        [matrix(of)].into_iter().chain(warpgroups)
    });
    let fp8 = COLUMNS.map(warpgroup_fp8);
    of_numbers.into_iter().chain(of_threads).chain(matrices).chain(fp8).collect()
}

/// Columns that a product of a warpgroup can have.
const COLUMNS: [usize; 4] = [16, 32, 64, 128];

fn kernel_case(stem: &'static str, grid: Grid, args: Vec<Arg>) -> KernelCase {
    KernelCase { name: stem.into(), source: source(stem, &[]), grid, args, hopper: false }
}

/// `blocks` of `threads` in one dimension.
fn on_blocks(blocks: u32, threads: u32, shared_bytes: u32) -> Grid {
    Grid { blocks: [blocks, 1, 1], threads, shared_bytes }
}

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

/// Words that `probe_numbers` writes for a value before the one that is not exact.
const EXACT: usize = 8;

/// What they are for value `i`.
fn number_words(x: &[f32], i: usize) -> [u32; EXACT] {
    let (v, other) = (x[i], x[(i + 1) % x.len()]);
    let (forth, back) = (f16_pair(v, other), f16_pair(other, v));
    let selector = (i as u32).wrapping_mul(0x9e37_79b9) & 0x7777;
    let bytes = [forth.to_le_bytes(), back.to_le_bytes()].concat();
    let permuted = [0, 4, 8, 12].map(|shift| bytes[(selector >> shift & 7) as usize]);
    let fused_low = by_half(forth, back, |a, b| a * b - 1.0) & 0xffff;
    let fused_high = by_half(forth, back, |a, b| a * b + 1.0) & 0xffff_0000;
    [
        pair(f16::from_f32(v).to_bits(), bf16::from_f32(v).to_bits()),
        forth,
        pair(bf16::from_f32(v).to_bits(), bf16::from_f32(other).to_bits()),
        by_half(forth, back, |a, b| a + b),
        fused_low | fused_high,
        u32::from(f32_to_fp8(v)) * 0x101,
        u32::from_le_bytes(permuted),
        (v * 4.0).round_ties_even() as i32 as u32,
    ]
}

/// The part of the tolerance that the two approximate halves of the last word take.
fn approximate_part(x: f32, word: u32) -> f64 {
    let [exponential, rest] = [0, 16].map(|shift| f16::from_bits((word >> shift) as u16).to_f64());
    let (sine, cosine) = (std::f32::consts::PI * x).sin_cos();
    let expected = [f64::from(x.exp2()), f64::from((x * x + 1.0).sqrt().recip() + sine + cosine)];
    // Beyond f16's range either side of its largest value will do.
    let close = match expected[0] > 65000.0 {
        true => 0.0,
        false => (exponential - expected[0]).abs() / (expected[0] * Activation::F16.rounding() * 1.01 + 1e-7),
    };
    // The angle in f32 loses what the device's half turns keep.
    let part = close.max((rest - expected[1]).abs() / (2e-3 + f64::from(x.abs()) * 1e-6));
    if part.is_nan() { f64::INFINITY } else { part }
}

fn numbers() -> KernelCase {
    let mut numbers = RandomValues::new(1);
    // Values of every magnitude that f16 and E4M3 have, and ties.
    let mut x: Vec<f32> = (0..2000).map(|i| numbers.uniform() * 2f32.powi(i % 26 - 15)).collect();
    x.extend([0.0, -0.0, 448.0, 464.0, 500.0, 1.0 / 1024.0, 3.0 / 1024.0, 17.0, 19.0, -65504.0]);
    let count = x.len();
    let input = Arg::read(&x);
    let check = Check::new(move |found| {
        let words: Vec<u32> =
            found.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let mut worst = 0.0f64;
        for (i, words) in words.chunks_exact(EXACT + 1).enumerate() {
            let expected = number_words(&x, i);
            if let Some(at) = (0..EXACT).find(|&at| words[at] != expected[at]) {
                let (v, found, expected) = (x[i], words[at], expected[at]);
                return Err(format!("word {at} of {v} ({i}) is {found:#x} instead of {expected:#x}"));
            }
            let part = approximate_part(x[i], words[EXACT]);
            if part > 1.0 {
                return Err(format!("approximations of {} ({i}) are {:#x}", x[i], words[13]));
            }
            worst = worst.max(part);
        }
        Ok(worst)
    });
    let args = vec![input, Arg::poisoned(count * (EXACT + 1) * 4, check), Arg::I32(count as i32)];
    kernel_case("probe_numbers", on_blocks(count.div_ceil(128) as u32, 128, 0), args)
}

fn warp() -> KernelCase {
    let x: Vec<u32> = RandomValues::new(9).uniforms(32).iter().map(|v| v.to_bits()).collect();
    let votes = (0..32).fold(0, |votes, lane| votes | u32::from(x[lane].is_multiple_of(3)) << lane);
    let of_lane = |lane: usize| {
        [
            x[lane * 7 % 32],
            x[lane ^ 5],
            x[lane.checked_sub(3).unwrap_or(lane)],
            x[if lane + 9 < 32 { lane + 9 } else { lane }],
            votes,
            ((lane ^ 16) as f32).to_bits(),
            ((lane + 1).min(31) as f32).to_bits(),
            29f32.to_bits(),
        ]
    };
    let expected: Vec<u32> = (0..32).flat_map(of_lane).collect();
    let out = Arg::poisoned(32 * 8 * 4, Check::words(&expected));
    kernel_case("probe_warp", on_blocks(1, 32, 0), vec![Arg::read(&x), out])
}

fn sync() -> KernelCase {
    let x: Vec<i32> = (0..128).map(|i| i * i % 37 - 9).collect();
    let near = |i: usize, by: usize| x[i / 64 * 64 + (i + by) % 64];
    let sums: Vec<i32> = (0..128).map(|i| near(i, 63) + near(i, 1)).collect();
    let turned: Vec<i32> = (0..3 * 128).map(|i: usize| sums[(i % 128) ^ 31]).collect();
    let total: i32 = 3 * sums.iter().sum::<i32>();
    let args = vec![
        Arg::read(&x),
        Arg::poisoned(3 * 128 * 4, Check::words(&turned)),
        Arg::Write(5i32.to_le_bytes().to_vec(), Check::words(&[5 + total])),
        Arg::Write(0.5f32.to_le_bytes().to_vec(), Check::words(&[0.5 + total as f32])),
    ];
    kernel_case("probe_sync", on_blocks(3, 128, 512), args)
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

/// Products and sums of pairs of bf16, rounded once.
fn pairs() -> KernelCase {
    let mut numbers = RandomValues::new(5);
    let count = 3000;
    // Products and sums of such values are exact in f64, subnormal ones among them.
    let mut draw = |least: i32| -> Vec<[bf16; 2]> {
        let mut value = || bf16::from_f32(numbers.uniform() * 2f32.powi(least + numbers.below(12) as i32));
        (0..count).map(|_| [value(), value()]).collect()
    };
    let (mut a, mut b, mut c) = (draw(-8), draw(-8), draw(-12));
    let small = draw(-134);
    for i in (0..count).step_by(3) {
        (a[i], b[i], c[i]) = (small[i], [bf16::from_f32(2f32.powi(120)); 2], [bf16::NEG_ZERO; 2]);
    }
    let of = |i: usize, half: usize| {
        let [a, b, c] = [a[i][half], b[i][half], c[i][half]].map(|x| x.to_f64());
        bf16::from_f64(a * b + c).to_bits()
    };
    let expected: Vec<u32> = (0..count).map(|i| pair(of(i, 0), of(i, 1))).collect();
    let words = |values: &[[bf16; 2]]| -> Arg {
        let words = values.iter().map(|[low, high]| pair(low.to_bits(), high.to_bits()));
        Arg::read(&words.collect::<Vec<u32>>())
    };
    let out = Arg::poisoned(count * 4, Check::words(&expected));
    let args = vec![words(&a), words(&b), words(&c), out, Arg::I32(count as i32)];
    kernel_case("probe_bf16", on_blocks(count.div_ceil(128) as u32, 128, 0), args)
}

/// Numbers of 64 bits.
fn wide() -> KernelCase {
    let mut numbers = RandomValues::new(10);
    let x: Vec<f64> = (0..32).map(|_| f64::from(numbers.uniform()).abs() * 50.0 + 1.0 / 3.0).collect();
    let bits: Vec<u64> = x.iter().map(|x| x.to_bits()).collect();
    let input = Arg::read(&bits);
    let of_lane = move |lane: usize| {
        let (a, b) = (x[lane], x[lane ^ 11]);
        let high = (u128::from(bits[lane]) * u128::from(!bits[lane ^ 11])) >> 64;
        let above = bits[lane.checked_sub(5).unwrap_or(lane)];
        let of_floats = [a - b, a * b - 1.0, a / b].map(f64::to_bits);
        let [difference, product, quotient] = of_floats;
        let whole = (a * 4096.0) as u64;
        ([bits[lane ^ 11], above, high as u64, difference, product, quotient, whole], a.ln())
    };
    let check = Check::new(move |found| {
        let word = |b: &[u8]| u64::from_le_bytes(b.try_into().expect("8 bytes"));
        let words: Vec<u64> = found.chunks_exact(8).map(word).collect();
        let mut worst = 0.0f64;
        for (lane, words) in words.chunks_exact(8).enumerate() {
            let (exact, logarithm) = of_lane(lane);
            let part = (f64::from_bits(words[7]) - logarithm).abs() / 1e-14;
            if words[..7] != exact || part > 1.0 || part.is_nan() {
                return Err(format!("lane {lane} has {words:x?} instead of {exact:x?} and {logarithm}"));
            }
            worst = worst.max(part);
        }
        Ok(worst)
    });
    kernel_case("probe_wide", on_blocks(1, 32, 0), vec![input, Arg::poisoned(32 * 8 * 8, check)])
}

fn matrix(of: Activation) -> KernelCase {
    let mut numbers = RandomValues::new(4);
    let (a, wide_a) = of.rounded(&numbers.uniforms(256));
    let (b, wide_b) = of.rounded(&numbers.uniforms(128));
    let once = product(&wide_a, |k, column| wide_b[k * 8 + column], 16, 8);
    let b_rows: Vec<u16> = (0..128).map(|i| b[i % 16 * 8 + i / 16]).collect();
    let check = Check::near(Format::F32, Near::all(&[once.clone(), once].concat(), 1e-5, 0.0));
    let args = vec![Arg::read(&a), Arg::read(&b), Arg::read(&b_rows), Arg::poisoned(256 * 4, check)];
    let case = kernel_case("probe_matrix", on_blocks(1, 32, 1024), args);
    let name = format!("probe_matrix{}", of.ending());
    KernelCase { name, source: with(case.source, of), ..case }
}

/// A probe of products of f16, or of bf16.
fn with(source: Source, of: Activation) -> Source {
    if of == Activation::Bf16 { source.define("BF16", 1) } else { source }
}

/// Bytes of so many pieces of 1024.
fn pieces(count: usize) -> Vec<u8> {
    (0..count * 1024).map(|i| (i * 31 % 251) as u8).collect()
}

fn copy() -> KernelCase {
    let (turns, valid) = (7, 7 * 64 - 5);
    let x = pieces(turns);
    let mut expected = x.clone();
    expected[valid * 16..].fill(0);
    let out = Arg::poisoned(x.len(), Check::exactly(expected));
    let args = vec![Arg::read(&x[..valid * 16]), out, Arg::I32(turns as i32), Arg::I32(valid as i32)];
    kernel_case("probe_copy", on_blocks(1, 64, 3072), args)
}

/// What is read once.
fn stream() -> KernelCase {
    let x = pieces(6);
    let args = vec![Arg::read(&x), Arg::poisoned(x.len(), Check::exactly(x.clone()))];
    kernel_case("probe_stream", on_blocks(3, 64, 1024), args)
}

/// Rows that blocks leave for the last of them; the sum of each column in the order of the blocks.
fn handoff() -> KernelCase {
    let (blocks, columns) = (96, 128);
    let x = RandomValues::new(14).uniforms(blocks * columns);
    let sum = |column: usize| x[column..].iter().step_by(columns).fold(0.0f32, |sum, x| sum + x);
    let sums: Vec<f32> = (0..columns).map(sum).collect();
    let args = vec![
        Arg::read(&x),
        Arg::poisoned(x.len() * 4, Check::words(&x)),
        Arg::Write(vec![0; 4], Check::words(&[0u32])),
        Arg::poisoned(columns * 4, Check::words(&sums)),
    ];
    kernel_case("probe_handoff", on_blocks(blocks as u32, columns as u32, 4), args)
}

fn bulk() -> KernelCase {
    let x = pieces(7);
    let args = vec![Arg::read(&x), Arg::poisoned(x.len(), Check::exactly(x.clone())), Arg::I32(7)];
    KernelCase { hopper: true, ..kernel_case("probe_bulk", on_blocks(1, 64, 1032), args) }
}

fn fence() -> KernelCase {
    let mut numbers = RandomValues::new(7);
    let (a, wide_a) = Activation::F16.rounded(&numbers.uniforms(64 * 16));
    let (b, wide_b) = Activation::F16.rounded(&numbers.uniforms(16 * 16));
    let expected = product(&wide_a, |k, column| wide_b[column * 16 + k], 16, 16);
    let check = Check::near(Format::F32, Near::all(&expected, 1e-5, 0.0));
    let args = vec![Arg::read(&a), Arg::read(&b), Arg::poisoned(expected.len() * 4, check)];
    KernelCase { hopper: true, ..kernel_case("probe_fence", on_blocks(1, 128, 2048), args) }
}

/// Whole numbers, whose sums are exact in the 14 bits that the units keep: at most 128 products up to 64.
fn warpgroup_fp8(columns: usize) -> KernelCase {
    let depth = 128;
    let mut numbers = RandomValues::new(11);
    let mut whole = |count: usize| -> (Vec<u8>, Vec<f32>) {
        let each = |_| {
            let value = numbers.below(17) as f32 - 8.0;
            (f32_to_fp8(value), value)
        };
        (0..count).map(each).unzip()
    };
    let ((a, wide_a), (b, wide_b)) = (whole(64 * depth), whole(columns * depth));
    let expected = product(&wide_a, |k, column| wide_b[column * depth + k], depth, columns);
    let out = Arg::poisoned(expected.len() * 4, Check::near(Format::F32, Near::all(&expected, 0.0, 0.0)));
    let grid = Grid { blocks: [1, 1, 1], threads: 128, shared_bytes: columns as u32 * 128 };
    KernelCase {
        name: format!("probe_wgmma_fp8 of {columns} columns"),
        source: source("probe_wgmma_fp8", &[("COLUMNS", columns)]),
        grid,
        args: vec![Arg::read(&a), Arg::read(&b), out],
        hopper: true,
    }
}

fn warpgroup(columns: usize, of: Activation) -> KernelCase {
    let depth = 320;
    let mut numbers = RandomValues::new(6);
    // Fewer rows than are copied at a time: the others are zero.
    let rows = columns - 3;
    let (a, wide_a) = of.rounded(&numbers.uniforms(64 * depth));
    let (b, wide_b) = of.rounded(&numbers.uniforms(rows * depth));
    let value = |k: usize, column: usize| if column < rows { wide_b[column * depth + k] } else { 0.0 };
    let expected = product(&wide_a, value, depth, columns);
    let check = Check::near(Format::F32, Near::all(&expected, 1e-4, 0.0));
    let mut args = vec![Arg::read(&a), Arg::read(&b), Arg::poisoned(expected.len() * 4, check)];
    args.push(Arg::I32(depth as i32));
    args.push(Arg::I32(rows as i32));
    let source = with(source("probe_wgmma", &[("COLUMNS", columns)]), of);
    let shared_bytes = 2 * (columns as u32 * 128 + 16);
    let grid = Grid { blocks: [1, 1, 1], threads: 160, shared_bytes };
    let name = format!("probe_wgmma of {columns} columns{}", of.ending());
    KernelCase { name, source, grid, args, hopper: true }
}
