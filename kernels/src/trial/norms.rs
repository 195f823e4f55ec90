//! Trials of rms_norm and add_rms_norm.

use samp_abi::Format;

use super::{Arg, Check, HALF_ULP, Near, Numbers, Trial, widened};
use crate::{
    cuda::Activation,
    rms_norm::{AddRmsNormArgs, RmsNormArgs, cuda::Norm, reference},
};

const EPS: f32 = 1e-5;

/// Both, over rows of several widths.
pub fn trials() -> Vec<Trial> {
    let shapes = [(1, 64), (3, 500), (7, 2048), (2, 4096)];
    shapes.into_iter().flat_map(|(tokens, width)| [alone(tokens, width), added(tokens, width)]).collect()
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
