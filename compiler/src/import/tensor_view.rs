//! A tensor of a checkpoint, where it lies in its file.

use safetensors::Dtype;

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
