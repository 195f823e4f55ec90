//! nf4 and fp4: 4-bit codes into a table of 16 values, times the absmax of a block of 64 weights along the input
//! dimension, itself stored by [`super::double_quant`]. Codes, absmax and decoded values equal bitsandbytes 0.50's CPU
//! path bit for bit.
//!
//! A value is divided by its block's absmax and takes the nearest table value. The nearest is found by counting how
//! many of the 15 midpoints it exceeds; at a tie the lower value wins.

use rayon::prelude::*;
use samp_abi::{BLOCK as ABI_BLOCK, Component, Format};

use super::{arithmetic::absmax, double_quant, error::EncodeError, input::Input};
use crate::{
    encoded::{Encoded, EncodedRef},
    simd::{Job, Lanes, Width, run},
};

const BLOCK: usize = ABI_BLOCK as usize;

/// The value of every NormalFloat4 code (QLoRA, appendix E).
#[allow(clippy::excessive_precision, reason = "the digits are the published ones")]
pub const NF4: [f32; 16] = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
];

/// The value of every fp4 code: sign, two exponent bits and one mantissa bit as bitsandbytes orders them, divided by 12
/// so that the largest is 1; the smallest is 0.0625/12.
pub const FP4: [f32; 16] = {
    const TWELFTHS: [f32; 8] = [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0];
    let mut table = [0.0; 16];
    let mut code = 0;
    while code < 8 {
        table[code] = TWELFTHS[code] / 12.0;
        // Code 8 is a positive zero too, as in bitsandbytes' vector path.
        table[code + 8] = 0.0 - table[code];
        code += 1;
    }
    table
};

/// How one of the two formats turns a normalised value into a code.
pub(crate) struct Coding {
    /// Midpoints between neighbouring table values, ascending.
    pub midpoints: [f32; 15],
    /// The code of the value that exceeds so many midpoints.
    pub codes: [u8; 16],
}

const NF4_CODING: Coding = coding(&NF4, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

/// Zero stands twice among the fp4 codes. As in bitsandbytes code 0 takes what rounds to zero from below, and zero
/// itself; code 8 takes what rounds to zero from above.
const FP4_CODING: Coding = coding(&FP4, [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3]);

const fn coding(table: &[f32; 16], codes: [u8; 16]) -> Coding {
    let mut midpoints = [0.0; 15];
    let mut i = 0;
    while i < 15 {
        midpoints[i] = (table[codes[i] as usize] + table[codes[i + 1] as usize]) / 2.0;
        i += 1;
    }
    Coding { midpoints, codes }
}

/// The table of values of `format`, by code. Panics for any but nf4 and fp4.
pub fn table(format: Format) -> &'static [f32; 16] {
    match format {
        Format::Nf4 => &NF4,
        Format::Fp4 => &FP4,
        _ => panic!("{format} has no table of 16 values"),
    }
}

/// How `format` chooses codes: nf4, or else fp4.
pub(crate) fn coding_of(format: Format) -> &'static Coding {
    if format == Format::Nf4 { &NF4_CODING } else { &FP4_CODING }
}

/// Beside the result this holds one f32 for each block until every absmax is known.
pub(super) fn encode(input: &Input) -> Result<Encoded, EncodeError> {
    let coding = coding_of(input.format);
    let mut encoded = input.zeroed(0);
    let [values] = encoded.parts_mut([Component::Values]);
    let mut absmaxes = vec![0.0; input.rows * input.cols / BLOCK];
    let outputs = values
        .par_chunks_mut(input.chunk_values() / 2)
        .zip(absmaxes.par_chunks_mut(input.chunk_values() / BLOCK));
    input.for_each_chunk(outputs, |chunk, (codes, absmaxes)| {
        run(Width::detect(), EncodeBlocks { values: chunk.values, coding, codes, absmaxes });
        Ok(())
    })?;

    let [codes, scales, offset] =
        encoded.parts_mut([Component::AbsmaxCodes, Component::AbsmaxScales, Component::AbsmaxOffset]);
    let mean = double_quant::encode(&absmaxes, codes, bytemuck::cast_slice_mut(scales));
    if !mean.is_finite() {
        return Err(EncodeError::MeanOverflow { format: input.format });
    }
    offset.copy_from_slice(&mean.to_le_bytes());
    Ok(encoded)
}

/// Encodes blocks in plain loops, which are compiled for each width.
struct EncodeBlocks<'a> {
    values: &'a [f32],
    coding: &'a Coding,
    codes: &'a mut [u8],
    absmaxes: &'a mut [f32],
}

impl Job for EncodeBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let (blocks, _) = self.values.as_chunks::<BLOCK>();
        let (codes, _) = self.codes.as_chunks_mut::<{ BLOCK / 2 }>();
        for ((block, codes), absmax) in blocks.iter().zip(codes).zip(self.absmaxes) {
            *absmax = encode_block(block, self.coding, codes);
        }
    }
}

/// Encodes one block and returns its absmax.
#[inline(always)]
fn encode_block(block: &[f32; BLOCK], coding: &Coding, bytes: &mut [u8; BLOCK / 2]) -> f32 {
    let absmax = absmax(block);
    // bitsandbytes' own guard against division by zero.
    let inverse = 1.0 / absmax.max(1e-38);
    let scaled = block.map(|x| (x * inverse).clamp(-1.0, 1.0));
    // A sum of steps from code to code, where a table at the count of midpoints would not vectorise.
    let mut codes = [u32::from(coding.codes[0]); BLOCK];
    for (midpoint, neighbours) in coding.midpoints.iter().zip(coding.codes.array_windows::<2>()) {
        let step = u32::from(neighbours[1]).wrapping_sub(u32::from(neighbours[0]));
        for (code, x) in codes.iter_mut().zip(&scaled) {
            *code = code.wrapping_add(if x > midpoint { step } else { 0 });
        }
    }
    let codes = codes.map(|code| code as u8);
    for (byte, pair) in bytes.iter_mut().zip(codes.as_chunks::<2>().0) {
        let pair = u16::from_le_bytes(*pair);
        *byte = (pair << 4 | pair >> 8) as u8;
    }
    absmax
}

pub(super) fn decode_row(tensor: &EncodedRef<'_>, row: usize, out: &mut [f32]) {
    let table = table(tensor.format);
    let mut absmaxes = vec![0.0; tensor.cols / BLOCK];
    double_quant::decode_row(tensor, row, &mut absmaxes);
    let pairs = tensor.lane::<u8>(Component::Values, row, tensor.cols / 2);
    pairs.map_pairs(out, |byte| [table[usize::from(byte >> 4)], table[usize::from(byte & 15)]]);
    for (block, absmax) in out.chunks_mut(BLOCK).zip(absmaxes) {
        for x in block {
            *x *= absmax;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    /// By the definition: the code of as many midpoints as a value exceeds.
    fn by_counting(block: &[f32; BLOCK], coding: &Coding) -> Vec<u8> {
        let absmax = block.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let inverse = 1.0 / absmax.max(1e-38);
        let code = |x: &f32| {
            let x = (x * inverse).clamp(-1.0, 1.0);
            coding.codes[coding.midpoints.iter().filter(|&&midpoint| x > midpoint).count()]
        };
        block.as_chunks::<2>().0.iter().map(|[a, b]| code(a) << 4 | code(b)).collect()
    }

    #[test]
    fn every_width_gives_the_codes_of_the_definition() {
        let mut random = SplitMix64::new(7);
        let mut blocks: Vec<[f32; BLOCK]> =
            vec![[0.0; BLOCK], [-0.0; BLOCK], [1e-39; BLOCK], [f32::MAX; BLOCK]];
        blocks.push(std::array::from_fn(|i| NF4[i % 16]));
        for coding in [&NF4_CODING, &FP4_CODING] {
            // Midpoints themselves, which take the lower value, beside a 1 that leaves them as they are.
            blocks.push(std::array::from_fn(|i| *coding.midpoints.get(i % 17).unwrap_or(&1.0)));
        }
        blocks.extend(
            (0..200).map(|_| std::array::from_fn(|_| f32::from_bits(random.bits() as u32 & 0xbfff_ffff))),
        );
        for coding in [&NF4_CODING, &FP4_CODING] {
            let expected: Vec<u8> = blocks.iter().flat_map(|block| by_counting(block, coding)).collect();
            for width in Width::ALL.into_iter().filter(|width| width.available()) {
                let (mut codes, mut absmaxes) = (vec![0; expected.len()], vec![0.0; blocks.len()]);
                let values = blocks.as_flattened();
                run(width, EncodeBlocks { values, coding, codes: &mut codes, absmaxes: &mut absmaxes });
                assert!(codes == expected, "{width:?}");
                assert!(absmaxes.iter().zip(&blocks).all(|(found, block)| *found == absmax(block)));
            }
        }
    }
}
