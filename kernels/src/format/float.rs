//! f32, f16 and bf16: plain values, rounded to nearest, ties to even.

use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;
use samp_abi::{Component, Format};

use super::{
    error::EncodeError,
    input::{Chunk, Input},
};
use crate::{
    encoded::{Encoded, EncodedRef},
    simd::{Job, Lanes, Width, run},
};

/// Little-endian bf16 values as f32. Panics unless `bytes` has two for each of `out`.
pub fn widen_bf16(bytes: &[u8], out: &mut [f32]) {
    assert_eq!(bytes.len(), 2 * out.len());
    run(Width::detect(), WidenBf16 { bytes, out });
}

/// Plain loops, which are compiled for each width.
struct WidenBf16<'a> {
    bytes: &'a [u8],
    out: &'a mut [f32],
}

impl Job for WidenBf16<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        for (x, raw) in self.out.iter_mut().zip(self.bytes.as_chunks().0) {
            *x = f32::from_bits(u32::from(u16::from_le_bytes(*raw)) << 16);
        }
    }
}

pub(super) fn encode(input: &Input) -> Result<Encoded, EncodeError> {
    let mut encoded = input.zeroed(0);
    let [values] = encoded.parts_mut([Component::Values]);
    let bytes = input.format.code_bits() as usize / 8;
    let outputs = values.par_chunks_mut(input.chunk_values() * bytes);
    input.for_each_chunk(outputs, |chunk, out| match input.format {
        Format::F16 => encode_f16(input, &chunk, bytemuck::cast_slice_mut(out)),
        Format::Bf16 => encode_bf16(input, &chunk, bytemuck::cast_slice_mut(out)),
        _ => {
            out.copy_from_slice(bytemuck::cast_slice(chunk.values));
            Ok(())
        }
    })?;
    Ok(encoded)
}

fn encode_f16(input: &Input, chunk: &Chunk, out: &mut [f16]) -> Result<(), EncodeError> {
    out.convert_from_f32_slice(chunk.values);
    check_range(input, chunk, out, |x| !x.is_finite())
}

fn encode_bf16(input: &Input, chunk: &Chunk, out: &mut [bf16]) -> Result<(), EncodeError> {
    out.convert_from_f32_slice(chunk.values);
    check_range(input, chunk, out, |x| !x.is_finite())
}

/// The error for the first value that did not stay finite.
fn check_range<T: Copy>(
    input: &Input,
    chunk: &Chunk,
    out: &[T],
    is_lost: impl Fn(T) -> bool,
) -> Result<(), EncodeError> {
    // Without a branch for each value the whole chunk is looked at in vectors.
    if !out.iter().fold(false, |any, &x| any | is_lost(x)) {
        return Ok(());
    }
    let i = out.iter().position(|&x| is_lost(x)).unwrap_or(0);
    Err(input.overflow(chunk.first_row + i / input.cols, i % input.cols, chunk.values[i]))
}

pub(super) fn decode_row(tensor: &EncodedRef<'_>, row: usize, out: &mut [f32]) {
    match tensor.format {
        Format::F16 => tensor.lane::<f16>(Component::Values, row, tensor.cols).map(out, f16::to_f32),
        Format::Bf16 => tensor.lane::<bf16>(Component::Values, row, tensor.cols).map(out, bf16::to_f32),
        _ => tensor.lane::<f32>(Component::Values, row, tensor.cols).map(out, |x| x),
    }
}
