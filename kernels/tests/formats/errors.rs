//! What cannot be encoded is refused, with its place.

use samp_abi::{Component, Format, Layout, ScaleAxis};
use samp_kernels::{
    encoded::{ComponentError, Encoded},
    format::{EncodeError, encode},
};

use super::Matrix;

fn ones(rows: usize, cols: usize) -> Matrix {
    Matrix { cols, values: vec![1.0; rows * cols] }
}

#[test]
fn values_that_are_not_finite() {
    for format in Format::ALL {
        let mut input = ones(2000, 128);
        input.values[1999 * 128] = f32::INFINITY;
        input.values[700 * 128 + 3] = f32::NAN;
        match input.encode(format) {
            Err(EncodeError::NotFinite { row: 700, col: 3, value, .. }) => assert!(value.is_nan()),
            other => panic!("{format}: {:?}", other.map(|_| ())),
        }
    }
}

#[test]
fn values_beyond_the_range() {
    let mut input = ones(300, 256);
    input.values[299 * 256 + 70] = -1e6;
    let overflow = |format, row, col, value| EncodeError::Overflow { format, row, col, value };
    assert_eq!(input.encode(Format::F16).unwrap_err(), overflow(Format::F16, 299, 70, -1e6));
    assert!(input.encode(Format::Bf16).is_ok());
    // The last value that rounds to a finite f16, and the first that does not.
    input.values[299 * 256 + 70] = 65519.0;
    assert!(input.encode(Format::F16).is_ok());
    input.values[299 * 256 + 70] = 65520.0;
    assert!(input.encode(Format::F16).is_err());

    input.values[299 * 256 + 70] = f32::MAX;
    assert_eq!(input.encode(Format::Bf16).unwrap_err(), overflow(Format::Bf16, 299, 70, f32::MAX));
    for name in ["int4", "int4_asym", "int4_g64", "int4_g64_asym", "int5", "int5_g64", "int6"] {
        let format: Format = name.parse().unwrap();
        assert_eq!(input.encode(format).unwrap_err(), overflow(format, 299, 70, f32::MAX));
    }
    let format = Format::Int8 { outliers: true };
    let outliers = encode(format, 300, 256, &input, &[4, 70]);
    assert_eq!(outliers.unwrap_err(), overflow(format, 299, 70, f32::MAX));
    for name in ["f32", "fp8", "fp8_e4m3_tensor", "int8", "nf4", "fp4"] {
        assert!(input.encode(name.parse().unwrap()).is_ok(), "{name}");
    }

    let huge = Matrix { cols: 64, values: vec![f32::MAX; 128] };
    assert_eq!(huge.encode(Format::Nf4).unwrap_err(), EncodeError::MeanOverflow { format: Format::Nf4 });
}

#[test]
fn rows_that_would_become_zero() {
    let mut input = ones(300, 256);
    let row = |values: &mut Vec<f32>, value: f32| values[299 * 256..].fill(value);
    let lost = |format, largest| Err(EncodeError::Underflow { format, row: 299, largest });
    // Half of the smallest f16, and the next number above it.
    let half = f32::powi(0.5, 25);
    for name in ["f16", "int4", "int4_asym", "int4_g64", "int5", "int6_g64"] {
        let format: Format = name.parse().unwrap();
        row(&mut input.values, half);
        assert_eq!(input.encode(format).map(|_| ()), lost(format, half));
        row(&mut input.values, half.next_up());
        assert!(input.encode(format).is_ok(), "{format}");
        row(&mut input.values, 0.0);
        assert!(input.encode(format).is_ok(), "zeros stay what they are");
        // As small as rows of tokens in reserve.
        row(&mut input.values, 1e-14);
        assert!(input.encode(format).is_ok(), "{format}");
    }
    let (tensor, scale) = (Format::Fp8E4m3(ScaleAxis::Tensor), 1.0f32 / 448.0);
    row(&mut input.values, scale / 1024.0);
    assert_eq!(input.encode(tensor).map(|_| ()), lost(tensor, scale / 1024.0));
    row(&mut input.values, 1e-9);
    for name in ["f32", "bf16", "fp8", "int8"] {
        assert!(input.encode(name.parse().unwrap()).is_ok(), "{name}");
    }
}

#[test]
fn shapes_and_columns() {
    let error = ones(2, 96).encode(Format::Nf4).unwrap_err();
    assert_eq!(error.to_string(), "nf4 needs a multiple of 64 columns, found 96");
    let format = Format::Int8 { outliers: true };
    for (columns, fault) in [(&[3, 3][..], 3), (&[5, 2], 2), (&[1, 8], 8)] {
        let error = encode(format, 4, 8, &ones(4, 8), columns).unwrap_err();
        assert_eq!(error, EncodeError::OutlierColumns { cols: 8, column: fault });
    }
    for format in Format::ALL {
        assert!(ones(0, 128).encode(format).is_ok(), "{format} without rows");
        let empty = Matrix { cols: 1, values: vec![] };
        assert!(encode(format, 5, 0, &empty, &[]).is_ok(), "{format} without columns");
    }
}

#[test]
fn arrays_that_do_not_make_a_tensor() {
    let format = Format::Int8 { outliers: true };
    let mut tensor = Encoded::zeroed(format, Layout::Rows16, 20, 8, 2);
    tensor.part_mut(Component::OutlierColumns)[4] = 1;
    assert_eq!(tensor.view().check(), Ok(()));

    let mut short = tensor.view();
    short.set(Component::Values, &[0; 160]);
    let size = ComponentError::Size { component: Component::Values, expected: 256, found: 160 };
    assert_eq!(short.check(), Err(size));

    let mut spare = tensor.view();
    spare.set(Component::ZeroPoints, &[0; 4]);
    let size = ComponentError::Size { component: Component::ZeroPoints, expected: 0, found: 4 };
    assert_eq!(spare.check(), Err(size));

    let shifted: &[u8] = &bytemuck::cast_slice::<u32, u8>(&[0; 21])[1..81];
    let mut askew = tensor.view();
    askew.set(Component::Scales, shifted);
    assert_eq!(askew.check(), Err(ComponentError::Alignment { component: Component::Scales, alignment: 4 }));

    tensor.part_mut(Component::OutlierColumns)[4] = 8;
    assert_eq!(tensor.view().check(), Err(ComponentError::OutlierColumn { column: 8, cols: 8 }));
}
