//! Trials of rms_norm and add_rms_norm, and of what quantizes rows.

use half::f16;
use samp_abi::Format;

use super::{Arg, Check, HALF_ULP, Near, Numbers, Trial, widened};
use crate::{
    cuda::{Activation, Grid, Source, fp8_place},
    elementwise::{SiluMulArgs, cuda::Rows, reference::silu_mul},
    format::{FP8_MAX, fp8_to_f32},
    rms_norm::{AddRmsNormArgs, RmsNormArgs, cuda::Norm, reference},
};

const EPS: f32 = 1e-5;

/// Both, over rows of several widths.
pub fn trials() -> Vec<Trial> {
    let shapes = [(1, 64), (3, 500), (7, 2048), (2, 4096), (2, 8192)];
    let plain = shapes.into_iter().flat_map(|(tokens, width)| [alone(tokens, width), added(tokens, width)]);
    plain.chain([(3, 496), (2, 4096)].into_iter().flat_map(|(tokens, width)| in_fp8(tokens, width))).collect()
}

fn norm(width: usize) -> Norm {
    Norm { cols: width as u32, activation: Activation::F16 }
}

fn normed(expected: &[f32]) -> Arg {
    let near = Near::all(expected, 1e-7, 1.01 * HALF_ULP);
    Arg::poisoned(expected.len() * 2, Check::near(Format::F16, near))
}

/// `tokens` rows of `width` values.
pub fn alone(tokens: usize, width: usize) -> Trial {
    let mut numbers = Numbers::new(width as u64);
    let (x, weight) = (numbers.floats(tokens * width), numbers.floats(width));
    let mut expected = vec![0.0; x.len()];
    reference::rms_norm(RmsNormArgs { x: &x, weight: &weight, eps: EPS.into(), out: &mut expected });
    let args =
        vec![Arg::read(&x), Arg::read(&weight), normed(&expected), Arg::I32(tokens as i32), Arg::F32(EPS)];
    let name = format!("rms_norm [{tokens}, {width}]");
    // A block more than there are tokens.
    let grid = norm(width).grid(tokens as u32 + 1);
    Trial { name, source: norm(width).rms_norm(), grid, args, hopper: false }
}

/// The same after the addition of the residual.
pub fn added(tokens: usize, width: usize) -> Trial {
    let mut numbers = Numbers::new(width as u64);
    let x = numbers.halves(tokens * width);
    let (residual, weight) = (numbers.floats(x.len()), numbers.floats(width));
    let (mut sum, mut expected) = (residual.clone(), vec![0.0; x.len()]);
    reference::add_rms_norm(AddRmsNormArgs {
        x: &widened(&x),
        sum: &mut sum,
        weight: &weight,
        eps: EPS.into(),
        out: &mut expected,
    });
    let args = vec![
        Arg::read(&x),
        Arg::read(&residual),
        Arg::read(&weight),
        Arg::poisoned(sum.len() * 4, Check::words(&sum)),
        normed(&expected),
        Arg::I32(tokens as i32),
        Arg::F32(EPS),
    ];
    let name = format!("add_rms_norm [{tokens}, {width}]");
    let (source, grid) = (norm(width).add_rms_norm(), norm(width).grid(tokens as u32));
    Trial { name, source, grid, args, hopper: false }
}

/// Rows of E4M3, each value within half a step of what it should be, and a scale for each row, by which its largest value
/// becomes the largest code.
fn quantized(expected: &[f32], width: usize) -> [Arg; 2] {
    let largest = |row: &[f32]| row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let scale = |most: f32| if most == 0.0 { 1.0 } else { most / FP8_MAX };
    let scales: Vec<f32> = expected.chunks_exact(width).map(|row| scale(largest(row))).collect();
    let near_scales = Check::near(Format::F32, Near::all(&scales, 0.0, 1e-5));
    let scale_bytes = scales.len() * 4;
    let expected = expected.to_vec();
    let bytes = expected.len();
    let codes = Check::new(move |codes| {
        let mut worst = 0.0f64;
        for (i, expected) in expected.iter().enumerate() {
            let code = codes[i / width * width + fp8_place(i % width)];
            let (scale, expected) = (f64::from(scales[i / width]), f64::from(*expected));
            let found = f64::from(fp8_to_f32(code)) * scale;
            let part = (found - expected).abs() / (1.01 * (scale / 1024.0 + expected.abs() / 16.0));
            if part > 1.0 || part.is_nan() {
                return Err(format!("value {i} is {found}, expected {expected}"));
            }
            worst = worst.max(part);
        }
        Ok(worst)
    });
    [Arg::poisoned(bytes, codes), Arg::poisoned(scale_bytes, near_scales)]
}

/// Both norms and silu_mul with results in E4M3; the first row of the norms is zeros.
fn in_fp8(tokens: usize, width: usize) -> [Trial; 3] {
    let (norm, rows) = (norm(width), Rows { cols: width as u32, activation: Activation::F16 });
    let mut numbers = Numbers::new(width as u64);
    let (mut x, weight) = (numbers.floats(tokens * width), numbers.floats(width));
    x[..width].fill(0.0);
    let gate_up = numbers.halves(2 * tokens * width);
    let (mut normed, mut gated) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    reference::rms_norm(RmsNormArgs { x: &x, weight: &weight, eps: EPS.into(), out: &mut normed });
    silu_mul(SiluMulArgs { gate_up: &widened(&gate_up), width, out: &mut gated });
    let (count, eps) = (|| Arg::I32(tokens as i32), || Arg::F32(EPS));
    let [codes, scales] = quantized(&normed, width);
    let alone = vec![Arg::read(&x), Arg::read(&weight), codes, count(), eps(), scales];
    let [codes, scales] = quantized(&normed, width);
    let (zeros, sum) = (vec![f16::ZERO; x.len()], Arg::poisoned(x.len() * 4, Check::words(&x)));
    let mut added = vec![Arg::read(&zeros), Arg::read(&x), Arg::read(&weight), sum];
    added.extend([codes, count(), eps(), scales]);
    let [codes, scales] = quantized(&gated, width);
    let gated = vec![Arg::read(&gate_up), codes, scales, count()];
    let trial = |name: &str, source: Source, grid: Grid, args| Trial {
        name: format!("{name} in fp8 [{tokens}, {width}]"),
        source,
        grid,
        args,
        hopper: false,
    };
    let blocks = tokens as u32 + 1;
    [
        trial("rms_norm", norm.to_fp8(norm.rms_norm()), norm.fp8_grid(blocks), alone),
        trial("add_rms_norm", norm.to_fp8(norm.add_rms_norm()), norm.fp8_grid(blocks), added),
        trial("silu_mul", rows.silu_mul_fp8(), rows.silu_mul_fp8_grid(blocks), gated),
    ]
}
