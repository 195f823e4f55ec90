//! Stored floats as f32.

use half::{f16, slice::HalfFloatSliceExt};
use safetensors::Dtype;
use samp_kernels::format::widen_bf16;

/// Whether weights may have this type.
pub(super) fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Little-endian values as f32, each exactly.
pub(super) fn widen(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F32 => {
            for (x, raw) in out.iter_mut().zip(bytes.as_chunks().0) {
                *x = f32::from_le_bytes(*raw);
            }
        }
        Dtype::BF16 => widen_bf16(bytes, out),
        // The hardware's conversion where the bytes happen to be aligned, which well-made files see to.
        Dtype::F16 => match bytemuck::try_cast_slice::<u8, f16>(bytes) {
            Ok(halves) if cfg!(target_endian = "little") => halves.convert_to_f32_slice(out),
            _ => {
                for (x, raw) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *x = f16::from_le_bytes(*raw).to_f32();
                }
            }
        },
        other => unreachable!("WeightView::stored admits no {other:?}"),
    }
}
