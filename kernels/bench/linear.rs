//! Speed of the CPU linear kernels: `cargo bench -p samp-kernels --bench linear [FORMAT…] [TOKENS…]`.
//!
//! Medians of repeated calls on all threads. Weight bandwidth (GB/s of encoded bytes) is compared with reading memory
//! by the same threads in the same run; arithmetic (GFLOP/s, a multiply–add counted as two) is not.

use samp_abi::{Component, ElementType, Format, Layout};
use samp_kernels::{
    encoded::Encoded,
    linear::{LinearArgs, Variant, integer, run_at},
    peak::read_rate,
    simd::Width,
};
use std::time::Instant;

const ROWS: usize = 4096;
const COLS: usize = 14336;
const COLD_BYTES: f64 = 400e6;
const TOKENS: [usize; 10] = [1, 2, 4, 6, 8, 12, 16, 24, 48, 240];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let tokens: Vec<usize> = wanted.iter().filter_map(|a| a.parse().ok()).collect();
    let tokens = if tokens.is_empty() { &TOKENS[..] } else { &tokens };
    let formats: Vec<&String> = wanted.iter().filter(|a| a.parse::<usize>().is_err()).collect();
    let ceiling = read_rate(&vec![1.0; 256 << 20]) / 1e9;
    println!(
        "{} threads, {:?}; reading memory: {ceiling:.1} GB/s",
        rayon::current_num_threads(),
        Width::detect()
    );
    println!("{ROWS} x {COLS}, median");
    println!(
        "{:16} {:>14} {:>6} {:>9} {:>7} {:>8} {:>9}",
        "format", "variant", "tokens", "us", "GB/s", "of read", "GFLOP/s"
    );
    for format in Format::ALL {
        if formats.is_empty() || formats.iter().any(|wanted| *wanted == format.name()) {
            bench(format, tokens, ceiling);
        }
    }
}

fn bench(format: Format, tokens: &[usize], ceiling: f64) {
    let bytes = Layout::Rows16.bytes(format, ROWS as u64, COLS as u64) as f64;
    // As many copies as no cache holds.
    let weights = vec![filled(format); (COLD_BYTES / bytes).ceil() as usize];
    for &tokens in tokens {
        let x: Vec<f32> = (0..tokens * COLS).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect();
        let mut out = vec![0.0; tokens * ROWS];
        type Run = fn(Width, Variant, LinearArgs<'_>);
        let exact: [(&str, Run, Variant); 2] =
            [("direct", run_at, Variant::Direct), ("panel", run_at, Variant::Panel)];
        let rounded: [(&str, Run, Variant); 2] = [
            ("integer direct", integer::run_at, Variant::Direct),
            ("integer panel", integer::run_at, Variant::Panel),
        ];
        let rounded = rounded.into_iter().filter(|_| integer::takes(format));
        for (name, run, variant) in exact.into_iter().chain(rounded) {
            let mut turn = weights.iter().cycle();
            let seconds = median(|| {
                let weight = turn.next().expect("a cycle has no end").view();
                let args = LinearArgs { x: &x, weight, bias: None, out: &mut out };
                run(Width::detect(), variant, args);
            });
            let rate = bytes / seconds / 1e9;
            let flops = 2.0 * (ROWS * COLS * tokens) as f64 / seconds / 1e9;
            let (us, part) = (seconds * 1e6, 100.0 * rate / ceiling);
            println!("{format:16} {name:>14} {tokens:6} {us:9.0} {rate:7.1} {part:7.0}% {flops:9.0}");
        }
    }
}

/// A weight of arbitrary codes and unremarkable scales.
fn filled(format: Format) -> Encoded {
    let mut weight = Encoded::zeroed(format, Layout::Rows16, ROWS, COLS, COLS / 128);
    let specs = Layout::Rows16.components(format, ROWS as u64, COLS as u64, COLS as u64 / 128);
    for spec in specs {
        let bytes = weight.part_mut(spec.component);
        match (spec.component, spec.dtype) {
            (Component::OutlierColumns, _) => {
                let columns = bytemuck::cast_slice_mut::<u8, u32>(bytes);
                columns.iter_mut().enumerate().for_each(|(i, c)| *c = i as u32 * 128);
            }
            (_, ElementType::F32) => bytemuck::cast_slice_mut(bytes).fill(0.01f32),
            // A byte that makes both f16 and bf16 values near 0.01.
            (_, ElementType::F16 | ElementType::Bf16) => bytes.fill(0x22),
            _ => bytes
                .iter_mut()
                .enumerate()
                .for_each(|(i, b)| *b = (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] & 0xb7),
        }
    }
    weight
}

/// Seconds that the median call takes; at least five calls and a third of a second.
fn median(mut call: impl FnMut()) -> f64 {
    call();
    let (start, mut times) = (Instant::now(), vec![]);
    while times.len() < 5 || start.elapsed().as_secs_f64() < 0.3 {
        let call_start = Instant::now();
        call();
        times.push(call_start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
