//! Cases of rms_norm and add_rms_norm, and of what quantizes rows.

use samp_abi::Format;

use super::{Arg, Check, KernelCase, Near, RandomValues, activations::ActivationType as _};
use samp_kernels::{
    cuda::{Activation, Grid, Source, fp8_place},
    elementwise::{SiluMulArgs, cuda::ElementwiseRows, reference::silu_mul},
    format::{FP8_MAX, fp8_to_f32},
    rms_norm::{AddRmsNormArgs, RmsNormArgs, cuda::Norm, reference},
};

const EPS: f32 = 1e-5;

/// Both, over rows of several widths, of either activation.
pub fn cases() -> Vec<KernelCase> {
    let plain = [(1, 64), (3, 500), (7, 2048), (2, 4096), (2, 8192)];
    let of = |activation| {
        let shape = move |(tokens, width)| Shape { tokens, width, activation };
        let plain = plain.into_iter().flat_map(move |sizes| [shape(sizes).alone(), shape(sizes).added()]);
        let heads = [(6, 64), (5, 128)].into_iter().map(move |sizes| shape(sizes).of_heads());
        plain
            .chain(heads)
            .chain([(3, 496), (2, 4096)].into_iter().flat_map(move |sizes| shape(sizes).in_fp8()))
    };
    [Activation::F16, Activation::Bf16].into_iter().flat_map(of).collect()
}

/// `tokens` rows of `width` values.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many rows there are.
    pub tokens: usize,
    /// Values of a row.
    pub width: usize,
    /// What they are stored as when normed.
    pub activation: Activation,
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

impl Shape {
    fn norm(self) -> Norm {
        Norm { cols: self.width as u32, activation: self.activation, narrow: false }
    }

    /// What results must be near.
    fn normed(self, expected: &[f32]) -> Arg {
        let near = Near::all(expected, 1e-7, 1.01 * self.activation.rounding());
        Arg::poisoned(expected.len() * 2, Check::near(self.activation.stored(), near))
    }

    fn kernel_case(self, name: &str, source: Source, grid: Grid, args: Vec<Arg>) -> KernelCase {
        let Shape { tokens, width, activation } = self;
        let name = format!("{name} [{tokens}, {width}]{}", activation.ending());
        KernelCase { name, source, grid, args, hopper: false }
    }

    /// rms_norm of them.
    pub fn alone(self) -> KernelCase {
        let mut numbers = RandomValues::new(self.width as u64);
        let (x, weight) = (numbers.uniforms(self.tokens * self.width), numbers.uniforms(self.width));
        let mut expected = vec![0.0; x.len()];
        reference::rms_norm(RmsNormArgs { x: &x, weight: &weight, eps: EPS.into(), out: &mut expected });
        let count = Arg::I32(self.tokens as i32);
        let args = vec![Arg::read(&x), Arg::read(&weight), self.normed(&expected), count, Arg::F32(EPS)];
        // A block more than there are tokens.
        let grid = self.norm().grid(self.tokens as u32 + 1);
        self.kernel_case("rms_norm", self.norm().rms_norm(), grid, args)
    }

    /// The same of heads, which are stored as activations.
    fn of_heads(self) -> KernelCase {
        let norm = Norm { narrow: true, ..self.norm() };
        let mut numbers = RandomValues::new(self.width as u64);
        let (bits, x) = self.activation.rounded(&numbers.uniforms(self.tokens * self.width));
        let weight = numbers.uniforms(self.width);
        let mut expected = vec![0.0; x.len()];
        reference::rms_norm(RmsNormArgs { x: &x, weight: &weight, eps: EPS.into(), out: &mut expected });
        let count = Arg::I32(self.tokens as i32);
        let args = vec![Arg::read(&bits), Arg::read(&weight), self.normed(&expected), count, Arg::F32(EPS)];
        self.kernel_case("rms_norm of heads", norm.rms_norm(), norm.grid(self.tokens as u32), args)
    }

    /// The same after the addition of the residual.
    pub fn added(self) -> KernelCase {
        let mut numbers = RandomValues::new(self.width as u64);
        let (bits, x) = self.activation.rounded(&numbers.uniforms(self.tokens * self.width));
        let (residual, weight) = (numbers.uniforms(x.len()), numbers.uniforms(self.width));
        let (mut sum, mut expected) = (residual.clone(), vec![0.0; x.len()]);
        reference::add_rms_norm(AddRmsNormArgs {
            x: &x,
            sum: &mut sum,
            weight: &weight,
            eps: EPS.into(),
            out: &mut expected,
        });
        let args = vec![
            Arg::read(&bits),
            Arg::read(&residual),
            Arg::read(&weight),
            Arg::poisoned(sum.len() * 4, Check::words(&sum)),
            self.normed(&expected),
            Arg::I32(self.tokens as i32),
            Arg::F32(EPS),
        ];
        let grid = self.norm().grid(self.tokens as u32);
        self.kernel_case("add_rms_norm", self.norm().add_rms_norm(), grid, args)
    }

    /// Both norms and silu_mul with results in E4M3; the first row of the norms is zeros.
    fn in_fp8(self) -> [KernelCase; 3] {
        let Shape { tokens, width, activation } = self;
        let (norm, rows) = (self.norm(), ElementwiseRows { cols: width as u32, activation });
        let mut numbers = RandomValues::new(width as u64);
        let (mut x, weight) = (numbers.uniforms(tokens * width), numbers.uniforms(width));
        x[..width].fill(0.0);
        let (gate_up_bits, gate_up) = activation.rounded(&numbers.uniforms(2 * tokens * width));
        let (mut normed, mut gated) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        reference::rms_norm(RmsNormArgs { x: &x, weight: &weight, eps: EPS.into(), out: &mut normed });
        silu_mul(SiluMulArgs { gate_up: &gate_up, width, out: &mut gated });
        let (count, eps) = (|| Arg::I32(tokens as i32), || Arg::F32(EPS));
        let [codes, scales] = quantized(&normed, width);
        let alone = vec![Arg::read(&x), Arg::read(&weight), codes, count(), eps(), scales];
        let [codes, scales] = quantized(&normed, width);
        let (zeros, sum) = (vec![0u16; x.len()], Arg::poisoned(x.len() * 4, Check::words(&x)));
        let mut added = vec![Arg::read(&zeros), Arg::read(&x), Arg::read(&weight), sum];
        added.extend([codes, count(), eps(), scales]);
        let [codes, scales] = quantized(&gated, width);
        let gated = vec![Arg::read(&gate_up_bits), codes, scales, count()];
        let blocks = tokens as u32 + 1;
        let of_norms =
            |name, source, args| self.kernel_case(name, norm.to_fp8(source), norm.fp8_grid(blocks), args);
        [
            of_norms("rms_norm in fp8", norm.rms_norm(), alone),
            of_norms("add_rms_norm in fp8", norm.add_rms_norm(), added),
            self.kernel_case("silu_mul in fp8", rows.silu_mul_fp8(), rows.silu_mul_fp8_grid(blocks), gated),
        ]
    }
}
