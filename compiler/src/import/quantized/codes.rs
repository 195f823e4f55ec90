//! Arrays of small codes as other tools pack them into words and bytes.

use super::stored::StoredTensor;

/// Bits of a word.
const WORD: usize = 32;
/// Which of eight outputs each nibble of AWQ's words holds, as the place of each output in the word.
const AWQ_PLACE: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// How codes lie in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// One row of words for each row of codes, each row's codes in sequence from the lowest bit on, across words.
    Across,
    /// A word holds the codes of as many rows in one column.
    Down,
    /// As [`Packing::Across`], the eight nibbles of a word in AWQ's order.
    Awq,
    /// Two codes to a byte, the first in the high nibble, all rows in one sequence.
    HighNibbleFirst,
}

/// A `[rows, cols]` array of codes of 2 to 8 bits.
#[derive(Clone, Debug)]
pub(super) struct CodeArray {
    tensor: StoredTensor,
    packing: Packing,
    bits: usize,
    cols: usize,
    /// Bytes of a stored row.
    row_bytes: usize,
    /// What is added to each word before its codes are taken from it.
    plus: u32,
}

impl CodeArray {
    /// The array, if the tensor has as many bytes as `rows` and `cols` take; else how many these are.
    pub(super) fn new(
        tensor: StoredTensor,
        packing: Packing,
        bits: usize,
        [rows, cols]: [usize; 2],
    ) -> Result<CodeArray, usize> {
        let words = |bits: usize| bits.div_ceil(WORD) * 4;
        let (row_bytes, stored_rows) = match packing {
            // Bytes and nibbles of whole bytes are not padded to words.
            Packing::Across if (cols * bits).is_multiple_of(8) && tensor.dtype().bitsize() == 8 => {
                (cols * bits / 8, rows)
            }
            Packing::Across | Packing::Awq => (words(cols * bits), rows),
            Packing::Down => (4 * cols, (rows * bits).div_ceil(WORD)),
            Packing::HighNibbleFirst => ((rows * cols).div_ceil(2), 1),
        };
        let expected = row_bytes * stored_rows;
        if tensor.bytes().len() != expected {
            return Err(expected);
        }
        Ok(CodeArray { tensor, packing, bits, cols, row_bytes, plus: 0 })
    }

    /// The array with every code larger by one. The words are added to as wholes: where they were made by a subtraction,
    /// a code of 0 borrowed from the next. Codes have to be whole parts of a word.
    pub(super) fn plus_one(self) -> CodeArray {
        let plus = (0..WORD / self.bits).fold(0, |ones, place| ones | 1 << (place * self.bits));
        CodeArray { plus, ..self }
    }

    pub(super) fn tensor(&self) -> &StoredTensor {
        &self.tensor
    }

    /// Bits of a code.
    pub(super) fn bits(&self) -> usize {
        self.bits
    }

    /// The code at a place.
    #[inline(always)]
    pub(super) fn at(&self, row: usize, col: usize) -> u8 {
        let mask = 0xff >> (8 - self.bits);
        match self.packing {
            Packing::Across if self.plus != 0 => {
                let bit = col * self.bits;
                let word = self.tensor.word(row * self.row_bytes / 4 + bit / WORD);
                (word.wrapping_add(self.plus) >> (bit % WORD)) as u8 & mask
            }
            Packing::Across => {
                let bit = col * self.bits;
                let bytes = &self.tensor.bytes()[row * self.row_bytes..][..self.row_bytes];
                let above = bytes.get(bit / 8 + 1).copied().unwrap_or(0);
                (u16::from_le_bytes([bytes[bit / 8], above]) >> (bit % 8)) as u8 & mask
            }
            Packing::Awq => {
                let word = self.tensor.word((row * self.row_bytes) / 4 + col / 8);
                (word >> (4 * AWQ_PLACE[col % 8])) as u8 & mask
            }
            Packing::Down => {
                let bit = row * self.bits;
                (self.tensor.word(bit / WORD * self.cols + col) >> (bit % WORD)) as u8 & mask
            }
            Packing::HighNibbleFirst => {
                let at = row * self.cols + col;
                self.tensor.bytes()[at / 2] >> (4 * (1 - at % 2)) & mask
            }
        }
    }
}
