//! Activations that kernels are tried with.

use half::{bf16, f16};
use samp_abi::Format;

use super::{Arg, RandomValues};
use samp_kernels::{
    cuda::{Activation, fp8_place},
    format::{FP8_MAX, f32_to_fp8, fp8_to_f32},
};

/// What cases ask of a type of activations.
pub(super) trait ActivationType {
    /// The nearest that it can hold: bits, and what they stand for.
    fn rounded(self, values: &[f32]) -> (Vec<u16>, Vec<f32>);

    /// As what results are stored.
    fn stored(self) -> Format;

    /// The largest part of a value that rounding changes, where it is not subnormal.
    fn rounding(self) -> f64;

    /// What a case's name ends with.
    fn ending(self) -> &'static str;
}

impl ActivationType for Activation {
    fn rounded(self, values: &[f32]) -> (Vec<u16>, Vec<f32>) {
        let each = |x: &f32| match self {
            Activation::F16 => (f16::from_f32(*x).to_bits(), f16::from_f32(*x).to_f32()),
            Activation::Bf16 => (bf16::from_f32(*x).to_bits(), bf16::from_f32(*x).to_f32()),
        };
        values.iter().map(each).unzip()
    }

    fn stored(self) -> Format {
        match self {
            Activation::F16 => Format::F16,
            Activation::Bf16 => Format::Bf16,
        }
    }

    fn rounding(self) -> f64 {
        match self {
            Activation::F16 => 2f64.powi(-11),
            Activation::Bf16 => 2f64.powi(-8),
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Activation::F16 => "",
            Activation::Bf16 => ", bf16",
        }
    }
}

/// Rows as they are stored, and what they stand for.
pub(super) struct Activations {
    /// What each value stands for, exactly.
    pub values: Vec<f64>,
    stored: Vec<u8>,
    /// Of rows in fp8, one for each.
    scales: Option<Vec<f32>>,
    tokens: usize,
}

impl Activations {
    /// `tokens` rows of 16 bits.
    pub fn sixteen_bits(
        activation: Activation,
        tokens: usize,
        cols: usize,
        numbers: &mut RandomValues,
    ) -> Self {
        let wanted: Vec<f32> = (0..tokens * cols).map(|_| numbers.normal(1.0)).collect();
        let (bits, values) = activation.rounded(&wanted);
        let values = values.into_iter().map(f64::from).collect();
        Activations { values, stored: bytemuck::cast_slice(&bits).to_vec(), scales: None, tokens }
    }

    /// `tokens` rows in fp8, of very different sizes: a scale of the wrong token is noticed.
    pub fn fp8(tokens: usize, cols: usize, numbers: &mut RandomValues) -> Self {
        let (mut values, mut stored, mut scales) = (vec![0.0; tokens * cols], vec![0; tokens * cols], vec![]);
        for (row, codes) in values.chunks_exact_mut(cols).zip(stored.chunks_exact_mut(cols)) {
            let size = 2f32.powi(scales.len() as i32 % 5 - 2);
            let wanted: Vec<f32> = (0..cols).map(|_| numbers.normal(size)).collect();
            let scale = wanted.iter().fold(0.0f32, |most, x| most.max(x.abs())) / FP8_MAX;
            for (column, (value, wanted)) in row.iter_mut().zip(wanted).enumerate() {
                let code = f32_to_fp8(wanted / scale);
                codes[fp8_place(column)] = code;
                *value = f64::from(fp8_to_f32(code)) * f64::from(scale);
            }
            scales.push(scale);
        }
        Activations { values, stored, scales: Some(scales), tokens }
    }

    /// The first `tokens` rows as a kernel takes them.
    pub fn args(&self, tokens: usize) -> Vec<Arg> {
        let bytes = self.stored.len() / self.tokens * tokens;
        let scales = self.scales.iter().map(|scales| Arg::read(&scales[..tokens]));
        [Arg::read(&self.stored[..bytes])].into_iter().chain(scales).collect()
    }
}
