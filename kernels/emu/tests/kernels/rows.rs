//! embed, gather, add and silu_mul against their references.

use half::{bf16, f16};
use samp_abi::{Component, Format, Layout, ScaleAxis};
use samp_emulator::{Arg, Buffer, Build, Edit, FaultKind, Launch, Options};
use samp_kernels::{
    cuda::Activation,
    elementwise::{self, AddArgs, GatherArgs, SiluMulArgs, cuda::Rows},
    embed::{self, EmbedArgs},
    encoded::Encoded,
    format, quantize,
};

use crate::harness::*;

fn on_rows(cols: usize) -> Rows {
    Rows { cols: cols as u32, activation: Activation::F16 }
}

fn table(format: Format, rows: usize, cols: usize) -> Encoded {
    let values = Numbers::new(7).floats(rows * cols);
    format::encode(format, rows, cols, &quantize::Rows { cols, values: &values }, &[])
        .expect("the table can be encoded")
}

/// The arrays of a table in the order of the kernels' parameters.
fn components(format: Format) -> &'static [Component] {
    match format {
        Format::Fp8E4m3(_) => &[Component::Values, Component::Scales],
        Format::Nf4 => {
            &[Component::Values, Component::AbsmaxCodes, Component::AbsmaxScales, Component::AbsmaxOffset]
        }
        _ => &[Component::Values],
    }
}

#[test]
fn embed_decodes_exactly() {
    let formats = [
        Format::F32,
        Format::F16,
        Format::Bf16,
        Format::Fp8E4m3(ScaleAxis::Channel),
        Format::Fp8E4m3(ScaleAxis::Tensor),
        Format::Nf4,
    ];
    let (rows, cols) = (37, 576);
    for format in formats {
        let subject =
            Subject::new(&embed::cuda::source(format, Layout::RowMajor, cols as u32).expect("a kernel"));
        let table = table(format, rows, cols);
        let ids = [0, 36, 5, 5, 17];
        let mut expected = vec![0.0; ids.len() * cols];
        embed::reference::embed(EmbedArgs { token_ids: &ids, weight: table.view(), out: &mut expected });

        let ids: Buffer<i32> = ids.iter().map(|&id| id as i32).collect();
        let parts: Vec<Buffer<u8>> =
            components(format).iter().map(|c| Buffer::from(table.view().part(*c))).collect();
        for way in WAYS {
            let mut out = Buffer::<f32>::poisoned(expected.len());
            let mut args = vec![Arg::read(&ids)];
            args.extend(parts.iter().map(|part| Arg::read(part)));
            args.extend([Arg::write(&mut out), (ids.len() as i32).into()]);
            subject.run(way, embed::cuda::grid(ids.len() as u32 + 1), &args);
            // Multiplied in another order by at most one rounding.
            let excess = excess(out.iter().copied(), &expected, f32::MIN_POSITIVE, f32::EPSILON);
            assert!(excess <= 1.0, "{format} {way:?}: {excess}");
        }
    }
}

#[test]
fn gather_copies_rows() {
    let (rows, cols) = (9, 132);
    let on_rows = on_rows(cols);
    let subject = Subject::new(&on_rows.gather());
    let x = Numbers::new(1).floats(rows * cols);
    let chosen = [8, 0, 3];
    let mut expected = vec![0.0; chosen.len() * cols];
    elementwise::reference::gather(GatherArgs { x: &x, width: cols, rows: &chosen, out: &mut expected });
    let (x, chosen) = (Buffer::from(&x[..]), Buffer::from(&chosen.map(|row| row as i32)[..]));
    for way in WAYS {
        let mut out = Buffer::<f32>::poisoned(expected.len());
        let args = [Arg::read(&x), Arg::read(&chosen), Arg::write(&mut out), 3.into()];
        subject.run(way, on_rows.gather_grid(5), &args);
        assert_eq!(out[..], expected[..], "{way:?}");
    }
}

#[test]
fn add_is_exact() {
    let (tokens, cols) = (5, 444);
    let mut numbers = Numbers::new(2);
    let (x, residual) = (numbers.halves(tokens * cols), numbers.floats(tokens * cols));
    let mut expected = vec![0.0; x.len()];
    elementwise::reference::add(AddArgs { a: &widened(&x), b: &residual, out: &mut expected });
    let wide = Buffer::from(&widened(&x)[..]);
    let (x, residual) = (Buffer::from(&x[..]), Buffer::from(&residual[..]));
    let on_rows = on_rows(cols);
    for (source, x) in [(on_rows.add(false), Arg::read(&x)), (on_rows.add(true), Arg::read(&wide))] {
        let subject = Subject::new(&source);
        for way in WAYS {
            let mut sum = Buffer::<f32>::poisoned(expected.len());
            let args = [x, Arg::read(&residual), Arg::write(&mut sum), (tokens as i32).into()];
            subject.run(way, on_rows.grid(tokens as u32), &args);
            assert_eq!(sum[..], expected[..], "{way:?}");
        }
    }
}

#[test]
fn silu_mul_is_the_references() {
    for (tokens, cols) in [(1, 64), (7, 900)] {
        let on_rows = on_rows(cols);
        let subject = Subject::new(&on_rows.silu_mul());
        let mut numbers = Numbers::new(3);
        let gate_up: Vec<f16> =
            (0..tokens * 2 * cols).map(|_| f16::from_f32(numbers.next() * 20.0)).collect();
        let mut expected = vec![0.0; tokens * cols];
        elementwise::reference::silu_mul(SiluMulArgs {
            gate_up: &widened(&gate_up),
            width: cols,
            out: &mut expected,
        });
        let gate_up = Buffer::from(&gate_up[..]);
        for way in WAYS {
            let mut out = Buffer::<f16>::poisoned(expected.len());
            let args = [Arg::read(&gate_up), Arg::write(&mut out), (tokens as i32).into()];
            subject.run(way, on_rows.grid(tokens as u32), &args);
            // Below f16's normal numbers its steps are 2^-24.
            let excess = excess(widened(&out), &expected, 3e-8, 1.02 * HALF_ULP);
            assert!(excess <= 1.0, "[{tokens}, {cols}] {way:?}: {excess}");
        }
    }
}

#[test]
fn bf16_activations() {
    let (tokens, cols) = (3, 260);
    let activation = Activation::Bf16;
    let mut numbers = Numbers::new(8);
    let x: Vec<bf16> = (0..tokens * 2 * cols).map(|_| bf16::from_f32(numbers.next() * 4.0)).collect();
    let wide: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
    let mut expected = vec![0.0; tokens * cols];
    elementwise::reference::silu_mul(SiluMulArgs { gate_up: &wide, width: cols, out: &mut expected });
    let on_rows = Rows { cols: cols as u32, activation };
    let mut out = Buffer::<bf16>::poisoned(expected.len());
    let args = [Arg::read(&x), Arg::write(&mut out), (tokens as i32).into()];
    Subject::new(&on_rows.silu_mul()).run(WAYS[2], on_rows.grid(tokens as u32), &args);
    let excess = excess(out.iter().map(|x| x.to_f32()), &expected, 1e-7, 1.01 / 256.0);
    assert!(excess <= 1.0, "{excess}");
}

#[test]
fn rows_without_bound_are_caught() {
    let bound = "  if (at >= (size_t)tokens * COLS) return;\n";
    let edit = Edit { file: "silu_mul.cu", from: bound, to: "" };
    let kernel = compiled(&source("silu_mul", &[("COLS", 64)]), &[edit], Build::Checked);
    let gate_up = Buffer::from(&vec![f16::ONE; 128][..]);
    let mut out = Buffer::<f16>::poisoned(64);
    let args = [Arg::read(&gate_up), Arg::write(&mut out), 1.into()];
    let error = kernel.launch(Launch::linear(1, 256), Options::default(), &args).expect_err("an overrun");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Bounds, "{error}");

    let edit = Edit { file: "embed.cuh", from: "  if (token >= tokens) return;\n", to: "" };
    let kernel = compiled(&source("embed_f32", &[("COLS", 64)]), &[edit], Build::Checked);
    let (ids, table) = (Buffer::from(&[0i32][..]), Buffer::from(&vec![1.0f32; 64][..]));
    let mut out = Buffer::<f32>::poisoned(64);
    let args = [Arg::read(&ids), Arg::read(&table), Arg::write(&mut out), 1.into()];
    let error = kernel.launch(Launch::linear(2, 128), Options::default(), &args).expect_err("an overrun");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Bounds, "{error}");
}
