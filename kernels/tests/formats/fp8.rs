//! E4M3 against the OCP definition and against ml_dtypes.

use half::f16;
use safetensors::SafeTensors;
use samp_abi::{Component, Format, ScaleAxis};
use samp_kernels::format::{FP8_MAX, f32_to_fp8, fp8_to_f32};

use super::{Matrix, decode, read};

/// OCP 8-bit Floating Point Specification 1.0, section 5.2: S.EEEE.MMM, bias 7, subnormals, S.1111.111 is NaN.
fn by_definition(code: u8) -> f64 {
    let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(code >> 3 & 15), f64::from(code & 7));
    match (exponent, code & 7) {
        (15, 7) => f64::NAN,
        (0, _) => sign * mantissa / 8.0 * 2f64.powi(-6),
        _ => sign * (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7),
    }
}

#[test]
fn every_code_has_its_defined_value() {
    for code in 0..=255 {
        let (ours, expected) = (fp8_to_f32(code), by_definition(code) as f32);
        assert!(ours.to_bits() == expected.to_bits() || ours.is_nan() && expected.is_nan(), "{code:#04x}");
    }
}

#[test]
fn every_value_encodes_to_its_code() {
    for code in (0..=255u8).filter(|code| code & 0x7f != 0x7f) {
        assert_eq!(f32_to_fp8(fp8_to_f32(code)), code);
    }
}

/// Equal on every f16, but for finite values and infinities beyond the range, where ml_dtypes gives NaN and samp ±448.
#[test]
fn every_f16_rounds_as_in_ml_dtypes() {
    let data = read("formats/ml_dtypes.safetensors");
    let file = SafeTensors::deserialize(&data).unwrap();
    let golden = file.tensor("fp8_e4m3").unwrap();
    assert_eq!(golden.data().len(), 1 << 16);
    let mut saturated = 0;
    for (pattern, &expected) in (0..=u16::MAX).zip(golden.data()) {
        let x = f16::from_bits(pattern);
        let ours = f32_to_fp8(x.to_f32());
        if expected & 0x7f == 0x7f && !x.is_nan() {
            assert!(x.to_f32().abs() > FP8_MAX, "{x}");
            assert_eq!(fp8_to_f32(ours), FP8_MAX.copysign(x.to_f32()));
            saturated += 1;
        } else if x.is_nan() {
            assert!(fp8_to_f32(ours).is_nan());
        } else {
            assert_eq!(ours, expected, "{x}");
        }
    }
    // Everything above 464, halfway from 448 to what would be 480: 463.75 still rounds down.
    assert_eq!(saturated, 2 * (0x7c00 - f16::from_f32(464.0).to_bits() as usize));
}

/// Ties and neighbours at full f32 precision, which f16 inputs do not reach.
#[test]
fn f32_rounds_to_nearest_even() {
    for code in 0..0x7eu8 {
        let (low, high) = (fp8_to_f32(code), fp8_to_f32(code + 1));
        let middle = (low + high) / 2.0;
        assert_eq!(f32_to_fp8(middle), code + (code & 1), "tie above {low}");
        assert_eq!(f32_to_fp8(middle.next_down()), code);
        assert_eq!(f32_to_fp8(middle.next_up()), code + 1);
        assert_eq!(f32_to_fp8(-middle.next_up()), (code + 1) | 0x80);
    }
    for (x, code) in [(0.0, 0), (-0.0, 0x80), (f32::MAX, 0x7e), (f32::NEG_INFINITY, 0xfe), (1e-45, 0)] {
        assert_eq!(f32_to_fp8(x), code);
    }
}

#[test]
fn scales_cover_a_row_or_the_tensor() {
    let input = Matrix { cols: 2, values: vec![448.0, -1.0, 0.0, 0.0, 0.875, 44.8] };
    let channel = input.encode(Format::Fp8E4m3(ScaleAxis::Channel)).unwrap();
    let scales: &[f32] = channel.view().part_as(Component::Scales);
    assert_eq!(scales, [1.0, 1.0, 44.8 / 448.0]);
    let tensor = input.encode(Format::Fp8E4m3(ScaleAxis::Tensor)).unwrap();
    assert_eq!(tensor.view().part_as::<f32>(Component::Scales), [1.0]);
    assert_eq!(decode(&tensor), [448.0, -1.0, 0.0, 0.0, 0.875, 44.0]);
}
