//! The case of what the device makes of every 16 bits.

use half::{bf16, f16};

use super::{Arg, Check, KernelCase, source};
use samp_kernels::{
    cuda::Grid,
    format::{f32_to_fp8, fp8_to_f32},
};

/// Every pattern of 16 bits.
const PATTERNS: usize = 1 << 16;
/// Words that `probe_patterns` writes for each.
const WORDS: usize = 7;

pub(super) fn kernel_case() -> KernelCase {
    let check = Check::new(|found| {
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
        for (bits, bytes) in (0..=u16::MAX).zip(found.chunks_exact(4 * WORDS)) {
            let words: Vec<u32> = bytes.chunks_exact(4).map(word).collect();
            let found = defined(bits, words.try_into().expect("as many words"));
            let expected = defined(bits, expected(bits));
            if found != expected {
                return Err(format!("of {bits:#06x} it makes {found:x?} instead of {expected:x?}"));
            }
        }
        Ok(0.0)
    });
    KernelCase {
        name: "probe_patterns".into(),
        source: source("probe_patterns", &[]),
        grid: Grid { blocks: [PATTERNS as u32 / 256, 1, 1], threads: 256, shared_bytes: 0 },
        args: vec![Arg::poisoned(PATTERNS * WORDS * 4, check)],
        hopper: false,
    }
}

fn pair(low: impl Into<u32>, high: impl Into<u32>) -> u32 {
    low.into() | high.into() << 16
}

/// The words of a pattern in the order of the probe.
fn expected(bits: u16) -> [u32; WORDS] {
    let (half, wide) = (f16::from_bits(bits).to_f32(), bf16::from_bits(bits).to_f32());
    let [low, high] = bits.to_le_bytes();
    let codes = [low, high].map(|code| f16::from_f32(fp8_to_f32(code)).to_bits());
    let both = |x: f32| u16::from(f32_to_fp8(x)) * 0x101;
    [
        half.to_bits(),
        wide.to_bits(),
        pair(f16::from_f32(wide).to_bits(), bf16::from_f32(half).to_bits()),
        pair(codes[0], codes[1]),
        pair(codes[0], codes[1]),
        fp8_to_f32(low).to_bits(),
        pair(both(half), both(wide)),
    ]
}

/// The words with all NaN made the same, as the bits of one are not defined; what becomes of NaN in E4M3, and of its own NaN,
/// is left out.
fn defined(bits: u16, words: [u32; WORDS]) -> [u32; WORDS] {
    let float = |word: u32| if f32::from_bits(word).is_nan() { f32::NAN.to_bits() } else { word };
    let half = |bits: u16| if f16::from_bits(bits).is_nan() { f16::NAN.to_bits() } else { bits };
    let bfloat = |bits: u16| if bf16::from_bits(bits).is_nan() { bf16::NAN.to_bits() } else { bits };
    let halves = |word: u32, [low, high]: [bool; 2]| {
        let kept = |keep: bool, bits: u32| if keep { bits } else { 0 };
        pair(kept(low, word & 0xffff), kept(high, word >> 16))
    };
    let codes = bits.to_le_bytes().map(|code| code & 0x7f != 0x7f);
    let numbers = [!f16::from_bits(bits).is_nan(), !bf16::from_bits(bits).is_nan()];
    let [from_half, from_bfloat, narrowed, by_device, by_bits, code, to_codes] = words;
    [
        float(from_half),
        float(from_bfloat),
        pair(half(narrowed as u16), bfloat((narrowed >> 16) as u16)),
        halves(by_device, codes),
        halves(by_bits, codes),
        if codes[0] { code } else { 0 },
        halves(to_codes, numbers),
    ]
}
