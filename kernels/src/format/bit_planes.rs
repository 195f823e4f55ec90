//! Codes of 4, 5 and 6 bits in bytes: see [`samp_abi::Format::run`].

/// Packs codes of `bits` bits, which are 4, 5, 6 or 8, as rows of bytes hold them. Of an odd last pair of 4-bit codes the
/// low half stays as it is; other widths come in whole runs. Without bytes nothing is written.
#[inline(always)]
pub(crate) fn pack(bits: usize, codes: &[u8], bytes: &mut [u8]) {
    match bits {
        4 => nibbles(codes, bytes),
        5 => runs::<5, 8>(codes, bytes),
        6 => runs::<6, 4>(codes, bytes),
        _ => bytes.copy_from_slice(codes),
    }
}

#[inline(always)]
fn nibbles(codes: &[u8], bytes: &mut [u8]) {
    let (pairs, last) = codes.as_chunks::<2>();
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = pair[0] << 4 | pair[1];
    }
    if let ([code], Some(byte)) = (last, bytes.get_mut(pairs.len())) {
        *byte = code << 4 | *byte & 15;
    }
}

#[inline(always)]
fn runs<const BITS: usize, const RUN: usize>(codes: &[u8], bytes: &mut [u8]) {
    let (codes, bytes) = (codes.as_chunks::<RUN>().0, bytes.chunks_exact_mut(RUN * BITS / 8));
    for (run, bytes) in codes.iter().zip(bytes) {
        let (low, high) = bytes.split_at_mut(RUN / 2);
        for (byte, pair) in low.iter_mut().zip(run.as_chunks::<2>().0) {
            *byte = pair[0] << 4 | pair[1] & 15;
        }
        high[0] = run.iter().fold(0, |above, code| above << (BITS - 4) | code >> 4);
    }
}

/// The code at `column` of a run, its sign extended: `low` is the byte with its low four bits, `high` the run's last.
#[inline(always)]
pub(crate) fn code_in_run<const BITS: usize>(low: u8, high: u8, column: usize) -> i8 {
    let low = if column.is_multiple_of(2) { low >> 4 } else { low & 15 };
    let above = high >> (8 - (BITS - 4) * (column + 1)) << 4;
    ((above | low) << (8 - BITS)) as i8 >> (8 - BITS)
}

/// [`code_in_run`] of 16 rows, whose bytes are taken together as one number.
#[inline(always)]
pub(crate) fn codes_in_run<const BITS: usize>(low: &[u8; 16], high: &[u8; 16], column: usize) -> [u8; 16] {
    // This in each byte.
    const EACH: u128 = u128::MAX / 255;
    let [low, high] = [low, high].map(|rows| u128::from_le_bytes(*rows));
    let low = (if column.is_multiple_of(2) { low >> 4 } else { low }) & (EACH * 15);
    let above = ((high >> (8 - (BITS - 4) * (column + 1))) & (EACH * ((1 << (BITS - 4)) - 1))) << 4;
    // Flipping the sign and taking it off again extends it. The top bits are set meanwhile, so that no byte borrows.
    let (sign, top) = (EACH << (BITS - 1), EACH << 7);
    (((((low | above) ^ sign) | top) - sign) ^ top).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn come_back<const BITS: usize, const RUN: usize>() {
        let half = 1 << (BITS - 1);
        let values: Vec<i8> = (-half..half).map(|v: i32| v as i8).collect();
        let codes: Vec<u8> = values.iter().map(|&v| v as u8 & (0xff >> (8 - BITS))).collect();
        let mut bytes = vec![0; codes.len() * BITS / 8];
        pack(BITS, &codes, &mut bytes);
        for (column, &value) in values.iter().enumerate() {
            let run = &bytes[column / RUN * RUN * BITS / 8..][..RUN * BITS / 8];
            let at = column % RUN;
            assert_eq!(code_in_run::<BITS>(run[at / 2], run[RUN / 2], at), value);
            let rows = codes_in_run::<BITS>(&rows(run[at / 2]), &rows(run[RUN / 2]), at);
            assert_eq!((rows[5] as i8, rows[15] as i8), (value, 0), "{column}");
        }
    }

    /// A byte among rows that are all zeros or all ones.
    fn rows(byte: u8) -> [u8; 16] {
        let mut rows = [0; 16];
        rows[4] = 0xff;
        rows[5] = byte;
        rows[6] = 0xff;
        rows
    }

    #[test]
    fn every_code_comes_back() {
        come_back::<5, 8>();
        come_back::<6, 4>();
    }

    #[test]
    fn bytes_are_as_the_format_says() {
        let mut bytes = [0; 3];
        pack(6, &[0b11_0001, 0b10_0010, 0b01_0011, 0b00_0100], &mut bytes);
        assert_eq!(bytes, [0x12, 0x34, 0b1110_0100]);
        let mut bytes = [0; 5];
        pack(5, &[0x1f, 0, 0x10, 1, 2, 3, 4, 0x15], &mut bytes);
        assert_eq!(bytes, [0xf0, 0x01, 0x23, 0x45, 0b1010_0001]);
    }
}
