//! Cases of the linear kernels: formats, ragged tokens and rows, the widths of several models, grids that share work out
//! anyhow.

use samp_abi::{Format, Layout};

use super::{
    Arg, Check, KernelCase, Near, RandomValues,
    activations::{ActivationType as _, Activations},
};
use samp_kernels::{
    cuda::{Activation, Grid},
    format::{decode_rows, encode},
    kernel::LinearKind,
    layout::pack,
    linear::cuda::Linear,
    quantize::MatrixRef,
};

/// As many blocks as there are parts.
const ALL: u32 = u32::MAX;

/// The launches of one kernel: every number of tokens with every number of blocks.
pub struct CaseGrid {
    /// The kernel that is launched.
    pub linear: Linear,
    /// How many tokens each launch has.
    pub tokens: Vec<u32>,
    /// How many blocks along x each launch has.
    pub blocks: Vec<u32>,
}

impl CaseGrid {
    fn new(linear: Linear, tokens: &[u32], blocks: &[u32]) -> CaseGrid {
        let blocks = blocks.iter().map(|blocks| (*blocks).min(linear.parts())).collect();
        CaseGrid { linear, tokens: tokens.to_vec(), blocks }
    }

    /// All its cases.
    pub fn kernel_cases(&self) -> Vec<KernelCase> {
        let problem = Problem::new(&self.linear, self.tokens.iter().copied().max().unwrap_or(0));
        let pairs =
            self.tokens.iter().flat_map(|tokens| self.blocks.iter().map(move |blocks| (*tokens, *blocks)));
        pairs.map(|(tokens, blocks)| problem.kernel_case(tokens, blocks)).collect()
    }
}

/// The kernel of a kind for a format by name. Panics if there is none.
#[track_caller]
pub fn kernel(kind: LinearKind, format: &str, shape: (u32, u32), tokens: u32) -> Linear {
    let format: Format = format.parse().expect("a format");
    Linear::new(kind, format, shape, tokens).unwrap_or_else(|| panic!("{kind:?} over {format}, {shape:?}"))
}

/// Every format and the widths of models in one way.
pub fn format_grids(kind: LinearKind) -> Vec<CaseGrid> {
    let all: [(&str, (u32, u32), u32); 12] = match kind {
        LinearKind::Gemv => [
            ("nf4", (24, 28672), 1),
            ("nf4", (24, 11008), 2),
            ("nf4", (40, 896), 4),
            ("fp4", (40, 2048), 2),
            ("int4", (40, 4096), 2),
            ("int4_g64", (17, 14336), 1),
            ("int4_asym", (40, 8192), 2),
            ("int4_g64_asym", (40, 192), 8),
            ("fp8", (40, 4096), 2),
            ("fp8_e4m3_tensor", (16, 1024), 1),
            ("int8", (40, 3072), 2),
            ("f16", (40, 320), 3),
        ],
        LinearKind::Mma => [
            ("nf4", (72, 28672), 8),
            ("nf4", (72, 11008), 8),
            ("nf4", (200, 896), 64),
            ("fp4", (40, 576), 16),
            ("int4", (136, 4096), 16),
            ("int4_g64", (72, 192), 32),
            ("int4_asym", (72, 2048), 8),
            ("int4_g64_asym", (72, 14336), 8),
            ("fp8", (136, 8192), 8),
            ("fp8_e4m3_tensor", (16, 64), 16),
            ("int8", (136, 1024), 32),
            ("f16", (72, 2048), 16),
        ],
        LinearKind::Wgmma => [
            ("nf4", (136, 8192), 16),
            ("nf4", (40, 11008), 16),
            ("nf4", (40, 896), 128),
            ("fp4", (40, 192), 16),
            ("int4", (136, 2048), 32),
            ("int4_g64", (72, 320), 64),
            ("int4_asym", (264, 1024), 16),
            ("int4_g64_asym", (72, 256), 64),
            ("fp8", (136, 4096), 16),
            ("fp8_e4m3_tensor", (16, 64), 32),
            ("int8", (136, 1024), 64),
            ("f16", (72, 14336), 16),
        ],
        LinearKind::WgmmaFp8 => [
            ("fp8", (136, 8192), 16),
            ("fp8", (40, 28672), 16),
            ("fp8", (40, 11008), 16),
            ("fp8", (17, 14336), 16),
            ("fp8", (72, 4096), 64),
            ("fp8", (136, 2048), 128),
            ("fp8", (40, 5632), 16),
            ("fp8", (136, 3072), 32),
            ("fp8", (40, 896), 64),
            ("fp8", (16, 128), 16),
            ("fp8_e4m3_tensor", (72, 1024), 128),
            ("fp8_e4m3_tensor", (16, 128), 32),
        ],
    };
    let case = |(format, shape, tokens)| {
        let linear = kernel(kind, format, shape, tokens);
        match kind {
            LinearKind::Gemv => CaseGrid::new(linear, &[1, tokens], &[1, 2]),
            _ => CaseGrid::new(linear, &[tokens - 3, tokens + 1], &[3, ALL]),
        }
    };
    all.into_iter().map(case).collect()
}

/// [`format_grids`] of activations in fp8, outputs of every type, biases.
pub fn fp8_grids() -> Vec<CaseGrid> {
    let linear = kernel(LinearKind::WgmmaFp8, "fp8", (72, 640), 32);
    let bf16 = linear.with(Activation::Bf16).expect("exact weights");
    let wide = Linear { bias: true, f32_out: true, ..linear };
    let others = [bf16, Linear { bias: true, ..linear }, wide].map(|l| CaseGrid::new(l, &[29, 32], &[2, 5]));
    format_grids(LinearKind::WgmmaFp8).into_iter().chain(others).collect()
}

/// Outputs in f32, biases, and ways of sharing out the work other than the usual.
pub fn other_grids() -> Vec<CaseGrid> {
    let mut all = vec![];
    for (kind, tokens) in [(LinearKind::Gemv, 2), (LinearKind::Mma, 16), (LinearKind::Wgmma, 16)] {
        let wide = Linear { bias: true, f32_out: true, ..kernel(kind, "f16", (40, 256), tokens) };
        let narrow = Linear { bias: true, ..kernel(kind, "nf4", (40, 256), tokens) };
        all.extend([wide, narrow].map(|linear| CaseGrid::new(linear, &[tokens], &[2])));
    }
    for (tokens, row_warps, k_warps, tiles_per_warp, stages) in
        [(16, 2, 4, 2, 3), (32, 1, 2, 1, 5), (32, 4, 1, 2, 2)]
    {
        let mut linear = kernel(LinearKind::Mma, "nf4", (120, 448), tokens);
        linear.tiling.row_warps = row_warps;
        linear.tiling.k_warps = k_warps;
        linear.tiling.tiles_per_warp = tiles_per_warp;
        linear.tiling.stages = stages;
        all.push(CaseGrid::new(linear, &[tokens], &[1, 2, ALL]));
    }
    all
}

/// Activations of bf16, over every format that is exact among them.
pub fn bf16_grids() -> Vec<CaseGrid> {
    let formats = ["nf4", "fp4", "int4", "int4_g64_asym", "fp8", "fp8_e4m3_tensor", "int8", "bf16"];
    let mut all = vec![];
    for (kind, tokens) in [(LinearKind::Gemv, 3), (LinearKind::Mma, 16), (LinearKind::Wgmma, 16)] {
        for format in formats {
            let linear = kernel(kind, format, (72, 640), tokens).with(Activation::Bf16);
            all.push(CaseGrid::new(linear.expect("exact weights"), &[tokens - 1, tokens], &[2, 5]));
        }
    }
    for (kind, shape, tokens) in [
        (LinearKind::Gemv, (17, 2048), 8),
        (LinearKind::Mma, (200, 1024), 64),
        (LinearKind::Wgmma, (136, 896), 128),
    ] {
        let wide = Linear { bias: true, f32_out: true, ..kernel(kind, "bf16", shape, tokens) };
        all.push(CaseGrid::new(wide, &[tokens - 3], &[1, ALL]));
    }
    all
}

fn all_cases(grids: Vec<CaseGrid>) -> Vec<KernelCase> {
    grids.iter().flat_map(CaseGrid::kernel_cases).collect()
}

/// [`format_grids`] of the kernels for a few tokens.
pub fn gemv() -> Vec<KernelCase> {
    all_cases(format_grids(LinearKind::Gemv))
}

/// [`format_grids`] of the kernels on `mma` units.
pub fn mma() -> Vec<KernelCase> {
    all_cases(format_grids(LinearKind::Mma))
}

/// [`format_grids`] of the kernels on `wgmma` units.
pub fn wgmma() -> Vec<KernelCase> {
    all_cases(format_grids(LinearKind::Wgmma))
}

/// The cases of [`other_grids`].
pub fn outputs() -> Vec<KernelCase> {
    all_cases(other_grids())
}

/// The cases of [`bf16_grids`].
pub fn bf16() -> Vec<KernelCase> {
    all_cases(bf16_grids())
}

/// The cases of [`fp8_grids`].
pub fn fp8() -> Vec<KernelCase> {
    all_cases(fp8_grids())
}

/// Every number of tokens at a time that a kernel can be made for, over every format.
pub fn tiles() -> Vec<KernelCase> {
    let formats =
        Format::ALL.iter().filter(|format| Linear::new(LinearKind::Mma, **format, (200, 640), 8).is_some());
    let kinds =
        |format| LinearKind::ALL.into_iter().flat_map(move |kind| (1..=128).map(move |t| (kind, format, t)));
    let linears =
        formats.flat_map(kinds).filter_map(|(kind, format, t)| Linear::new(kind, *format, (200, 640), t));
    all_cases(linears.map(|linear| CaseGrid::new(linear, &[linear.tokens], &[5])).collect())
}

/// A linear with all its data, and its results for the most tokens that it is tried with.
pub struct Problem {
    linear: Linear,
    parts: Vec<Vec<u8>>,
    x: Activations,
    bias: Vec<f32>,
    expected: Vec<Near>,
}

impl Problem {
    /// A problem of up to so many tokens.
    pub fn new(linear: &Linear, tokens: u32) -> Problem {
        let (rows, cols) = (linear.rows as usize, linear.cols as usize);
        let mut numbers = RandomValues::new(u64::from(linear.rows * 1009 + linear.cols));
        // Rows of very different sizes: a scale of the wrong row is noticed.
        let sizes: Vec<f32> =
            (0..rows).map(|row| 2f32.powi(row as i32 % 7 - 3) / (cols as f32).sqrt()).collect();
        let values: Vec<f32> = (0..rows * cols).map(|i| numbers.normal(sizes[i / cols])).collect();
        let plain = encode(linear.format, rows, cols, &MatrixRef { cols, values: &values }, &[])
            .expect("finite values");
        let mut weights = vec![0.0; rows * cols];
        decode_rows(plain.view(), 0, &mut weights);
        let packed = pack(plain.view(), Layout::MmaFragments);
        let mut problem = Problem {
            linear: *linear,
            parts: packed.parts.iter().map(|(_, bytes)| bytes.to_vec()).collect(),
            x: match linear.kind {
                LinearKind::WgmmaFp8 => Activations::fp8(tokens as usize, cols, &mut numbers),
                _ => Activations::sixteen_bits(linear.activation, tokens as usize, cols, &mut numbers),
            },
            bias: (0..rows).map(|_| numbers.normal(1.0)).collect(),
            expected: vec![],
        };
        let outputs = (0..tokens as usize).flat_map(|token| (0..rows).map(move |row| (token, row)));
        problem.expected = outputs.map(|(token, row)| problem.expected(&weights, token, row)).collect();
        problem
    }

    /// The kernel for the first `tokens` tokens on `blocks` blocks along x.
    pub fn kernel_case(&self, tokens: u32, blocks: u32) -> KernelCase {
        let linear = &self.linear;
        let (stored, bytes) = if linear.f32_out { (Format::F32, 4) } else { (linear.activation.stored(), 2) };
        let outputs = (tokens * linear.rows) as usize;
        let check = Check::near(stored, self.expected[..outputs].to_vec());
        let mut args = self.x.args(tokens as usize);
        args.extend(self.parts.iter().map(|part| Arg::constant(part)));
        if matches!(linear.format, Format::Int4 { zero_point: false, .. }) {
            args.push(Arg::Null);
        }
        args.push(if linear.bias { Arg::constant(&self.bias) } else { Arg::Null });
        args.push(Arg::poisoned(outputs * bytes, check));
        args.push(Arg::I32(tokens as i32));
        let mut size = [blocks, 1, 1];
        if linear.kind != LinearKind::Gemv {
            size[1] = linear.token_tiles(tokens);
            let (sums, counters) = linear.workspace(blocks, size[1]);
            args.extend(Arg::workspace(sums, counters));
        }
        let grid = Grid { blocks: size, threads: linear.threads(), shared_bytes: linear.shared_bytes() };
        let source = linear.source();
        let Linear { format, rows, cols, tokens: tile, .. } = linear;
        let ending = linear.activation.ending();
        let name = format!(
            "{} {format} {rows}x{cols} by {tile}, {tokens} tokens on {blocks} blocks{ending}",
            source.stem
        );
        KernelCase { name, source, grid, args, hopper: linear.kind.is_wgmma() }
    }

    fn expected(&self, weights: &[f32], token: usize, row: usize) -> Near {
        let cols = self.linear.cols as usize;
        let pairs = weights[row * cols..][..cols].iter().zip(&self.x.values[token * cols..][..cols]);
        let (mut value, mut magnitude) = (0.0, 0.0);
        for (w, x) in pairs {
            let product = f64::from(*w) * x;
            value += product;
            magnitude += product.abs();
        }
        if self.linear.bias {
            value += f64::from(self.bias[row]);
        }
        // The values of a table are rounded to activations; other codes are exact in them. Sums are f32.
        let ulp = self.linear.activation.rounding();
        let table = matches!(self.linear.format, Format::Nf4 | Format::Fp4);
        // Units for fp8 cut off what is 14 bits below the largest of 33 numbers.
        let of_units = if self.linear.kind == LinearKind::WgmmaFp8 { 2f64.powi(-10) } else { 2f64.powi(-17) };
        let of_sum = magnitude * (of_units + if table { ulp / 2.0 } else { 0.0 });
        let of_output = value.abs() * if self.linear.f32_out { 2f64.powi(-23) } else { ulp };
        Near { value, allowed: of_sum + of_output + 1e-7 }
    }
}
