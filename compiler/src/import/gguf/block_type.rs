//! The types of GGUF tensors: how many weights a block holds, in how many bytes, and how it is decoded.

use std::fmt;

use super::{codebooks, k_quants, legacy_quants};

/// Decodes a block, bytes to weights.
pub(super) type DecodeBlock = fn(&[u8], &mut [f32]);

/// A type of tensors.
pub(in crate::import) struct BlockType {
    /// Its number in files.
    number: u32,
    /// Its name in ggml.
    pub(super) name: &'static str,
    /// Weights of a block.
    pub(super) weights: usize,
    /// Bytes of a block.
    pub(super) bytes: usize,
    /// What a block's bytes stand for, with each product and sum rounded to f32 in the order of gguf-py.
    pub(super) decode: DecodeBlock,
}

impl PartialEq for BlockType {
    fn eq(&self, other: &BlockType) -> bool {
        self.number == other.number
    }
}

impl fmt::Debug for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn row(
    number: u32,
    name: &'static str,
    [weights, bytes]: [usize; 2],
    decode: DecodeBlock,
) -> BlockType {
    BlockType { number, name, weights, bytes, decode }
}

/// Every type that is read.
pub(super) static BLOCK_TYPES: [BlockType; 26] = [
    row(0, "F32", [1, 4], legacy_quants::f32),
    row(1, "F16", [1, 2], legacy_quants::f16),
    row(30, "BF16", [1, 2], legacy_quants::bf16),
    row(2, "Q4_0", [32, 18], legacy_quants::q4_0),
    row(3, "Q4_1", [32, 20], legacy_quants::q4_1),
    row(6, "Q5_0", [32, 22], legacy_quants::q5_0),
    row(7, "Q5_1", [32, 24], legacy_quants::q5_1),
    row(8, "Q8_0", [32, 34], legacy_quants::q8_0),
    row(10, "Q2_K", [256, 84], k_quants::q2_k),
    row(11, "Q3_K", [256, 110], k_quants::q3_k),
    row(12, "Q4_K", [256, 144], k_quants::q4_k),
    row(13, "Q5_K", [256, 176], k_quants::q5_k),
    row(14, "Q6_K", [256, 210], k_quants::q6_k),
    row(16, "IQ2_XXS", [256, 66], codebooks::iq2_xxs),
    row(17, "IQ2_XS", [256, 74], codebooks::iq2_xs),
    row(22, "IQ2_S", [256, 82], codebooks::iq2_s),
    row(18, "IQ3_XXS", [256, 98], codebooks::iq3_xxs),
    row(21, "IQ3_S", [256, 110], codebooks::iq3_s),
    row(19, "IQ1_S", [256, 50], codebooks::iq1_s),
    row(29, "IQ1_M", [256, 56], codebooks::iq1_m),
    row(20, "IQ4_NL", [32, 18], legacy_quants::iq4_nl),
    row(23, "IQ4_XS", [256, 136], k_quants::iq4_xs),
    row(34, "TQ1_0", [256, 54], k_quants::tq1_0),
    row(35, "TQ2_0", [256, 66], k_quants::tq2_0),
    row(39, "MXFP4", [32, 17], legacy_quants::mxfp4),
    row(40, "NVFP4", [64, 36], legacy_quants::nvfp4),
];

impl BlockType {
    /// The type of this number in files.
    pub(super) fn by_number(number: u32) -> Result<&'static BlockType, String> {
        BLOCK_TYPES.iter().find(|block| block.number == number).ok_or_else(|| {
            let names: Vec<&str> = BLOCK_TYPES.iter().map(|block| block.name).collect();
            format!("expected one of the types {}, found number {number}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    /// `testdata/quantized/make_quantized.py` wrote random blocks of every type, and what gguf-py makes of them.
    #[test]
    fn every_block_is_decoded_as_gguf_py_does_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/quantized/gguf-blocks.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), 2 * BLOCK_TYPES.len());
        for block in &BLOCK_TYPES {
            let stored = file.tensor(&format!("{}.bytes", block.name)).unwrap();
            let expected = file.tensor(&format!("{}.values", block.name)).unwrap();
            let blocks = stored.data().chunks_exact(block.bytes);
            assert_eq!(blocks.len(), 4, "{}", block.name);
            let mut out = vec![f32::NAN; block.weights];
            for (bytes, expected) in blocks.zip(expected.data().chunks_exact(4 * block.weights)) {
                (block.decode)(bytes, &mut out);
                let expected =
                    expected.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value).to_bits());
                let found = out.iter().map(|value| value.to_bits());
                assert!(found.eq(expected), "{}", block.name);
            }
        }
    }
}
