//! A tensor of a checkpoint, where it lies in its file.

use safetensors::Dtype;
use samp_abi::ElementType;
use samp_kernels::format::RowSource;

use super::quantized::QuantizedWeight;

/// A tensor of the checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Its name in the checkpoint.
    pub name: &'a str,
    /// Element type as stored; one of f32, f16 and bf16 for every tensor that is bound.
    pub dtype: Dtype,
    /// Its shape, outermost dimension first.
    pub shape: &'a [u64],
    /// Little-endian values, row-major; on no particular boundary.
    pub bytes: &'a [u8],
    /// Name of the file that holds it.
    pub file: &'a str,
}

/// A weight of the checkpoint, whatever it is stored as.
#[derive(Clone, Copy, Debug)]
pub struct WeightView<'a> {
    /// Its name in the architecture.
    pub name: &'a str,
    /// What holds its values exactly: the stored type, and f32 of what is decoded.
    pub dtype: ElementType,
    /// Its shape, outermost dimension first.
    pub shape: &'a [u64],
    pub(super) values: Values<'a>,
    /// What the values are multiplied by.
    factor: f32,
}

/// Where the values of a weight come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Values<'a> {
    Stored(TensorView<'a>),
    Quantized(&'a QuantizedWeight),
}

impl<'a> WeightView<'a> {
    /// A tensor as a weight; `None` of a type that weights have not.
    pub(super) fn stored(tensor: TensorView<'a>) -> Option<WeightView<'a>> {
        let dtype = match tensor.dtype {
            Dtype::F32 => ElementType::F32,
            Dtype::F16 => ElementType::F16,
            Dtype::BF16 => ElementType::Bf16,
            _ => return None,
        };
        Some(WeightView {
            name: tensor.name,
            dtype,
            shape: tensor.shape,
            values: Values::Stored(tensor),
            factor: 1.0,
        })
    }

    pub(super) fn quantized(name: &'a str, weight: &'a QuantizedWeight) -> WeightView<'a> {
        let (shape, values) = (weight.shape(), Values::Quantized(weight));
        WeightView { name, dtype: ElementType::F32, shape, values, factor: 1.0 }
    }

    /// A multiple of it, in f32.
    pub(super) fn scaled(self, factor: f32) -> WeightView<'a> {
        WeightView { dtype: ElementType::F32, factor, ..self }
    }

    /// The bytes that the values follow from, where they are stored.
    pub fn stored_bytes(&self) -> Vec<&'a [u8]> {
        match self.values {
            Values::Stored(tensor) => vec![tensor.bytes],
            Values::Quantized(weight) => weight.tensors().iter().map(|part| part.bytes()).collect(),
        }
    }

    /// Name of the file that holds it, or the first part of it.
    pub(super) fn file(&self) -> &'a str {
        match self.values {
            Values::Stored(tensor) => tensor.file,
            Values::Quantized(weight) => weight.tensors().first().map_or("", |part| part.file()),
        }
    }

    /// Values from element `first` on, row-major; those of a quantized weight are whole rows.
    pub(super) fn read(&self, first: usize, out: &mut [f32]) {
        match self.values {
            Values::Stored(tensor) => {
                let size = tensor.dtype.bitsize() / 8;
                super::widen::widen(tensor.dtype, &tensor.bytes[first * size..][..out.len() * size], out);
            }
            Values::Quantized(weight) => weight.read(first / weight.cols(), out),
        }
        if self.factor != 1.0 {
            out.iter_mut().for_each(|value| *value *= self.factor);
        }
    }

    /// Elements of the weight.
    pub fn elements(&self) -> usize {
        self.shape.iter().product::<u64>() as usize
    }
}
