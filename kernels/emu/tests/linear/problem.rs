//! One linear with its data, its reference, and how it is launched.

use half::{bf16, f16};
use samp_abi::{Component, Format, Layout};
use samp_emulator::{Arg, Buffer, Kernel, Launch, LaunchError, Options};
use samp_kernels::{
    cuda::Activation,
    encoded::Encoded,
    format::{RowSource, decode_rows, encode},
    layout::pack,
    linear::cuda::{Kind, Linear},
};

/// Numbers that look random and are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal: a sum of four uniform numbers with this deviation.
    fn normal(&mut self, deviation: f32) -> f32 {
        let bits = self.next();
        let sum: f32 = (0..4).map(|i| (bits >> (16 * i) & 0xffff) as f32 / 65536.0 - 0.5).sum();
        sum * deviation * 3f32.sqrt()
    }
}

struct Rows {
    cols: usize,
    values: Vec<f32>,
}

impl RowSource for Rows {
    fn read(&self, first: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.values[first * self.cols..][..out.len()]);
    }
}

/// A linear, the most tokens it is launched with, and all its data.
pub(crate) struct Problem {
    linear: Linear,
    parts: Vec<Buffer<u8>>,
    weights: Vec<f32>,
    x: Buffer<u16>,
    bias: Buffer<f32>,
}

/// A result and how far from it a kernel may be.
struct Expected {
    value: f64,
    allowed: f64,
}

impl Problem {
    pub(crate) fn new(linear: &Linear, tokens: u32) -> Problem {
        let (rows, cols) = (linear.rows as usize, linear.cols as usize);
        let mut numbers = Numbers(u64::from(linear.rows * 1009 + linear.cols));
        // Rows of very different sizes: a scale of the wrong row is noticed.
        let sizes: Vec<f32> =
            (0..rows).map(|row| 2f32.powi(row as i32 % 7 - 3) / (cols as f32).sqrt()).collect();
        let values = (0..rows * cols).map(|i| numbers.normal(sizes[i / cols])).collect();
        let plain = encode(linear.format, rows, cols, &Rows { cols, values }, &[]).expect("finite values");
        let mut weights = vec![0.0; rows * cols];
        decode_rows(plain.view(), 0, &mut weights);
        let packed = pack(plain.view(), Layout::Fragments);
        Problem {
            linear: *linear,
            parts: parts(&packed),
            weights,
            x: (0..tokens as usize * cols).map(|_| to_bits(linear.activation, numbers.normal(1.0))).collect(),
            bias: (0..rows).map(|_| numbers.normal(1.0)).collect(),
        }
    }

    /// Launches the kernel for the first `tokens` tokens on `blocks` blocks along x.
    pub(crate) fn run(
        &self,
        kernel: &Kernel,
        (tokens, blocks): (u32, u32),
        options: Options,
    ) -> Result<Vec<f32>, LaunchError> {
        let linear = &self.linear;
        let x = Buffer::from(&self.x[..(tokens * linear.cols) as usize]);
        let outputs = (tokens * linear.rows) as usize;
        let mut wide = Buffer::<f32>::poisoned(if linear.f32_out { outputs } else { 0 });
        let mut narrow = Buffer::<u16>::poisoned(if linear.f32_out { 0 } else { outputs });
        let tiles = linear.token_tiles(tokens);
        let (sums, counters) = linear.workspace(blocks, tiles);
        let mut sums = Buffer::<f32>::poisoned(sums as usize);
        let mut counters: Buffer<u32> = (0..counters).map(|_| 0).collect();

        let mut args = vec![Arg::read(&x)];
        args.extend(self.parts.iter().map(|part| Arg::read(part)));
        if matches!(linear.format, Format::Int4 { zero_point: false, .. }) {
            args.push(Arg::null());
        }
        args.push(if linear.bias { Arg::read(&self.bias) } else { Arg::null() });
        args.push(if linear.f32_out { Arg::write(&mut wide) } else { Arg::write(&mut narrow) });
        args.push((tokens as i32).into());
        let mut grid = [blocks, 1, 1];
        if linear.kind != Kind::Gemv {
            args.extend([Arg::write(&mut sums), Arg::write(&mut counters)]);
            grid[1] = tiles;
        }
        let shared_bytes = linear.shared_bytes() as usize;
        let launch = Launch { grid, block: [linear.threads(), 1, 1], shared_bytes };
        kernel.launch(launch, options, &args)?;
        assert!(counters.iter().all(|&counter| counter == 0), "counters are zeros again after a launch");
        Ok(if linear.f32_out {
            wide.to_vec()
        } else {
            narrow.iter().map(|x| from_bits(linear.activation, *x)).collect()
        })
    }

    /// Panics unless the result of `tokens` tokens is as near to the reference as its roundings allow.
    #[track_caller]
    pub(crate) fn check(&self, tokens: u32, found: &[f32], what: &str) {
        let rows = self.linear.rows as usize;
        assert_eq!(found.len(), tokens as usize * rows, "{what}");
        for (index, &found) in found.iter().enumerate() {
            let Expected { value, allowed } = self.expected(index / rows, index % rows);
            // Written so that NaN fails.
            let close = (f64::from(found) - value).abs() <= allowed;
            let (token, row) = (index / rows, index % rows);
            assert!(
                close,
                "{what}: token {token}, row {row} is {found}, expected {value} within {allowed:.2e}"
            );
        }
    }

    fn expected(&self, token: usize, row: usize) -> Expected {
        let cols = self.linear.cols as usize;
        let pairs = self.weights[row * cols..][..cols].iter().zip(&self.x[token * cols..][..cols]);
        let (mut value, mut magnitude) = (0.0, 0.0);
        for (w, x) in pairs {
            let product = f64::from(*w) * f64::from(from_bits(self.linear.activation, *x));
            value += product;
            magnitude += product.abs();
        }
        if self.linear.bias {
            value += f64::from(self.bias[row]);
        }
        // The values of a table are rounded to activations; other codes are exact in them. Sums are f32.
        let ulp = match self.linear.activation {
            Activation::F16 => 2f64.powi(-11),
            Activation::Bf16 => 2f64.powi(-8),
        };
        let table = matches!(self.linear.format, Format::Nf4 | Format::Fp4);
        let of_sum = magnitude * (2f64.powi(-17) + if table { ulp / 2.0 } else { 0.0 });
        let of_output = value.abs() * if self.linear.f32_out { 2f64.powi(-23) } else { ulp };
        Expected { value, allowed: of_sum + of_output + 1e-7 }
    }
}

/// An activation as it is stored.
fn to_bits(activation: Activation, x: f32) -> u16 {
    match activation {
        Activation::F16 => f16::from_f32(x).to_bits(),
        Activation::Bf16 => bf16::from_f32(x).to_bits(),
    }
}

fn from_bits(activation: Activation, bits: u16) -> f32 {
    match activation {
        Activation::F16 => f16::from_bits(bits).to_f32(),
        Activation::Bf16 => bf16::from_bits(bits).to_f32(),
    }
}

/// The arrays of a weight, each in memory of its own.
fn parts(weight: &Encoded) -> Vec<Buffer<u8>> {
    assert_eq!(weight.parts[0].0, Component::Values);
    weight.parts.iter().map(|(_, bytes)| Buffer::from(&bytes[..])).collect()
}
