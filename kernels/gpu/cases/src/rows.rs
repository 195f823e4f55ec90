//! Cases of embed, gather, add, concat and silu_mul.

use samp_abi::{Format, Layout};

use super::{Arg, Check, KernelCase, Near, RandomValues, activations::ActivationType as _};
use samp_kernels::{
    cuda::{Activation, Grid, Source},
    elementwise::{
        self, AddArgs, ConcatArgs, GatherArgs, SiluMulArgs,
        cuda::{Concat, ElementwiseRows},
    },
    embed::{self, EmbedArgs},
    format, layout, quantize,
};

/// All of them.
pub fn cases() -> Vec<KernelCase> {
    let of = |activation| [add(activation), silu_mul(activation, 1, 64), silu_mul(activation, 7, 900)];
    let rest = [Activation::F16, Activation::Bf16].into_iter().flat_map(of).chain([gather(), add_f32()]);
    let widths = [&[64, 8, 8][..], &[132, 44, 4], &[256, 520], &[4, 300]];
    let plain = tables().map(|(format, layout)| embed(format, layout, 1.0));
    let scaled = tables().take(1).map(|(format, layout)| embed(format, layout, 54.5));
    plain.chain(scaled).chain(rest).chain(widths.map(concat)).collect()
}

/// Every format and layout that a table may have.
pub fn tables() -> impl Iterator<Item = (Format, Layout)> {
    let kinds = |format| [Layout::RowMajor, Layout::MmaFragments].map(|layout| (format, layout));
    let fits = |&(format, layout): &(Format, Layout)| embed::cuda::source(format, layout, 640).is_some();
    Format::ALL.into_iter().flat_map(kinds).filter(fits)
}

fn on_rows(cols: usize, activation: Activation) -> ElementwiseRows {
    ElementwiseRows { cols: cols as u32, activation }
}

fn kernel_case(name: String, source: Source, grid: Grid, args: Vec<Arg>) -> KernelCase {
    KernelCase { name, source, grid, args, hopper: false }
}

fn embed(format: Format, layout: Layout, scale: f32) -> KernelCase {
    let (rows, cols) = (37, 640);
    let values = RandomValues::new(7).uniforms(rows * cols);
    let plain = format::encode(format, rows, cols, &quantize::MatrixRef { cols, values: &values }, &[])
        .expect("the table can be encoded");
    let table = layout::pack(plain.view(), layout);
    let ids = [0, 36, 5, 5, 17, 15, 24];
    let mut expected = vec![0.0; ids.len() * cols];
    embed::reference::embed(EmbedArgs { token_ids: &ids, weight: table.view(), scale, out: &mut expected });
    // Multiplied in another order by at most one rounding.
    let near = Near::all(&expected, f32::MIN_POSITIVE.into(), f32::EPSILON.into());
    let mut args = vec![Arg::read(&ids)];
    args.extend(table.parts.iter().map(|(_, bytes)| Arg::read(&bytes[..])));
    args.extend(matches!(format, Format::Int4 { zero_point: false, .. }).then_some(Arg::Null));
    args.push(Arg::poisoned(expected.len() * 4, Check::near(Format::F32, near)));
    args.push(Arg::I32(ids.len() as i32));
    let source = embed::cuda::source(format, layout, cols as u32).expect("a kernel");
    let source = embed::cuda::scaled(source, scale);
    let name = format!("embed {format} {layout}{}", if scale == 1.0 { "" } else { ", scaled" });
    kernel_case(name, source, embed::cuda::grid(ids.len() as u32 + 1), args)
}

fn concat(widths: &[u32]) -> KernelCase {
    let tokens = 5;
    let concat = Concat::new(widths).expect("a kernel");
    let mut numbers = RandomValues::new(4);
    let part = |width: &u32| Activation::F16.rounded(&numbers.uniforms(tokens * *width as usize));
    let (parts, wide): (Vec<Vec<u16>>, Vec<Vec<f32>>) = widths.iter().map(part).unzip();
    let width = widths.iter().sum::<u32>() as usize;
    let mut expected = vec![0.0; tokens * width];
    let slices: Vec<&[f32]> = wide.iter().map(|part| &part[..]).collect();
    elementwise::reference::concat(ConcatArgs { parts: &slices, width, out: &mut expected });
    let out = Check::near(Format::F16, Near::all(&expected, 0.0, 0.0));
    let mut args: Vec<Arg> = (0..3).map(|i| parts.get(i).map_or(Arg::Null, |part| Arg::read(part))).collect();
    args.extend([Arg::poisoned(expected.len() * 2, out), Arg::I32(tokens as i32)]);
    kernel_case(format!("concat {widths:?}"), concat.source(), concat.grid(tokens as u32), args)
}

fn gather() -> KernelCase {
    let (rows, cols) = (9, 132);
    let x = RandomValues::new(1).uniforms(rows * cols);
    let chosen = [8, 0, 3];
    let mut expected = vec![0.0; chosen.len() * cols];
    elementwise::reference::gather(GatherArgs { x: &x, width: cols, rows: &chosen, out: &mut expected });
    let out = Arg::poisoned(expected.len() * 4, Check::words(&expected));
    let args = vec![Arg::read(&x), Arg::read(&chosen), out, Arg::I32(3)];
    let on_rows = on_rows(cols, Activation::F16);
    kernel_case("gather".into(), on_rows.gather(), on_rows.gather_grid(5), args)
}

/// An activation plus the residual.
fn add(activation: Activation) -> KernelCase {
    let (bits, x) = activation.rounded(&RandomValues::new(2).uniforms(SUMMED.0 * SUMMED.1));
    let source = on_rows(SUMMED.1, activation).add(false);
    sum(format!("add of 16 bits{}", activation.ending()), source, Arg::read(&bits), &x)
}

/// `add` of two rows in f32.
fn add_f32() -> KernelCase {
    let x = RandomValues::new(2).uniforms(SUMMED.0 * SUMMED.1);
    sum("add of f32".into(), on_rows(SUMMED.1, Activation::F16).add(true), Arg::read(&x), &x)
}

/// Rows and columns of cases of `add`.
const SUMMED: (usize, usize) = (5, 444);

/// Of `x`, which the kernel takes as `stored`.
fn sum(name: String, source: Source, stored: Arg, x: &[f32]) -> KernelCase {
    let residual = RandomValues::new(12).uniforms(x.len());
    let mut expected = vec![0.0; x.len()];
    elementwise::reference::add(AddArgs { a: x, b: &residual, out: &mut expected });
    let out = Arg::poisoned(expected.len() * 4, Check::words(&expected));
    let args = vec![stored, Arg::read(&residual), out, Arg::I32(SUMMED.0 as i32)];
    kernel_case(name, source, on_rows(SUMMED.1, Activation::F16).grid(SUMMED.0 as u32), args)
}

/// What the reference makes of gates and ups.
fn activated(gate_up: &[f32], cols: usize) -> Vec<f32> {
    let mut expected = vec![0.0; gate_up.len() / 2];
    elementwise::reference::silu_mul(SiluMulArgs { gate_up, width: cols, out: &mut expected });
    expected
}

fn silu_mul(activation: Activation, tokens: usize, cols: usize) -> KernelCase {
    let mut numbers = RandomValues::new(3);
    let wanted: Vec<f32> = (0..tokens * 2 * cols).map(|_| numbers.uniform() * 20.0).collect();
    let (bits, gate_up) = activation.rounded(&wanted);
    // Below f16's normal numbers its steps are 2^-24.
    let near = Near::all(&activated(&gate_up, cols), 3e-8, 1.02 * activation.rounding());
    let out = Arg::poisoned(near.len() * 2, Check::near(activation.stored(), near));
    let args = vec![Arg::read(&bits), out, Arg::I32(tokens as i32)];
    let on_rows = on_rows(cols, activation);
    let name = format!("silu_mul [{tokens}, {cols}]{}", activation.ending());
    kernel_case(name, on_rows.silu_mul(), on_rows.grid(tokens as u32), args)
}
