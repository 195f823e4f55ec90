//! Formats and layouts: golden vectors of other implementations, the bit definition of E4M3, errors, properties.

mod cuda_tables;
mod errors;
mod fp8;
mod golden;
mod integers;
mod layouts;
mod properties;

use std::path::PathBuf;

use samp_abi::Format;
use samp_kernels::{
    encoded::Encoded,
    format::{EncodeError, RowSource, decode_rows, encode},
};

/// A tensor in memory.
struct Matrix {
    cols: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn rows(&self) -> usize {
        self.values.len() / self.cols
    }

    fn encode(&self, format: Format) -> Result<Encoded, EncodeError> {
        encode(format, self.rows(), self.cols, self, &[])
    }
}

impl RowSource for Matrix {
    fn read(&self, first: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.values[first * self.cols..][..out.len()]);
    }
}

/// All rows of a tensor.
fn decode(tensor: &Encoded) -> Vec<f32> {
    let mut out = vec![0.0; tensor.rows * tensor.cols];
    decode_rows(tensor.view(), 0, &mut out);
    out
}

/// The bytes of every array, for comparison.
fn bytes(tensor: &Encoded) -> Vec<&[u8]> {
    tensor.parts.iter().map(|(_, bytes)| &bytes[..]).collect()
}

fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)
}

/// The bytes of a file in testdata/.
fn read(path: &str) -> Vec<u8> {
    let path = testdata(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
