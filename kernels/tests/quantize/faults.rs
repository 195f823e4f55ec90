//! Degenerate and bad input.

use samp_abi::{Format, Group};
use samp_kernels::{
    format::EncodeError,
    quantize::{
        CholeskyFactor, ColumnOrder, Damped, Damping, Hessian, RoundingSpec, gptq, nearest, output_error,
    },
};

use super::{FORMATS, Numbers, assert_near, bytes, decode, hessian, rows};

const COLS: usize = 256;
const INT4: Format = Format::Int4 { group: Group::G128, zero_point: false };

fn natural(hessian: &Hessian) -> CholeskyFactor {
    CholeskyFactor::new(hessian, ColumnOrder::Natural, Damping::default())
}

#[test]
fn dead_inputs_keep_their_nearest_values() {
    let mut numbers = Numbers::new(20);
    let weights = numbers.normals(20 * COLS);
    let mut x = numbers.activations(500, COLS);
    let dead = [0, 17, 64, 65, 200, 255];
    for token in x.chunks_mut(COLS) {
        dead.iter().for_each(|&column| token[column] = 0.0);
    }
    let hessian = hessian(COLS, &x);
    let factor = natural(&hessian);
    assert_eq!(factor.damped(), Damped::AsAsked);
    for format in FORMATS {
        let result = gptq(&rows(COLS, &weights), 20, &factor, RoundingSpec::to(format)).unwrap();
        let measured = output_error(&rows(COLS, &weights), result.encoded.view(), &hessian);
        assert_near(result.error, measured, 1e-9, format.name());
        let decoded = decode(&result.encoded);
        for column in dead {
            let error = (decoded[column] - weights[column]).abs();
            assert!(error < 1.2, "{format}: a weight without input is off by {error}");
        }
    }
}

#[test]
fn without_input_nothing_is_compensated() {
    let weights = Numbers::new(21).normals(20 * COLS);
    let factor = natural(&Hessian::new(COLS));
    for format in FORMATS {
        let result = gptq(&rows(COLS, &weights), 20, &factor, RoundingSpec::to(format)).unwrap();
        let plain = nearest(&rows(COLS, &weights), 20, &vec![0.0; COLS], RoundingSpec::to(format)).unwrap();
        assert_eq!(bytes(&result.encoded), bytes(&plain), "{format}");
        assert_eq!(result.error, 0.0);
    }
}

#[test]
fn zero_weights_stay_zero() {
    let mut numbers = Numbers::new(22);
    let mut weights = numbers.normals(20 * COLS);
    weights[3 * COLS..5 * COLS].fill(0.0);
    weights[8 * COLS + 64..8 * COLS + 128].fill(0.0);
    let hessian = hessian(COLS, &numbers.activations(500, COLS));
    for format in FORMATS {
        let all_zero = vec![0.0; 3 * COLS];
        let zero = gptq(&rows(COLS, &all_zero), 3, &natural(&hessian), RoundingSpec::to(format)).unwrap();
        assert!(decode(&zero.encoded).iter().all(|w| *w == 0.0) && zero.error == 0.0, "{format}");
        let some = gptq(&rows(COLS, &weights), 20, &natural(&hessian), RoundingSpec::to(format)).unwrap();
        let decoded = decode(&some.encoded);
        assert!(decoded[3 * COLS..5 * COLS].iter().all(|w| *w == 0.0), "{format}");
        assert!(decoded.iter().all(|w| w.is_finite()), "{format}");
    }
}

/// Weights from the smallest to the largest that the formats allow.
#[test]
fn extreme_weights_stay_finite() {
    let mut numbers = Numbers::new(23);
    let hessian = hessian(COLS, &numbers.activations(500, COLS));
    for scale in [1e-42_f32, 1e-30, 1e30, 1e37] {
        let weights: Vec<f32> = numbers.normals(5 * COLS).iter().map(|w| w * scale).collect();
        for format in FORMATS {
            match gptq(&rows(COLS, &weights), 5, &natural(&hessian), RoundingSpec::to(format)) {
                Ok(result) => {
                    assert!(decode(&result.encoded).iter().all(|w| w.is_finite()), "{format} at {scale:e}");
                    assert!(result.error.is_finite(), "{format} at {scale:e}");
                }
                Err(error) => {
                    assert!(matches!(error, EncodeError::Overflow { .. }), "{format} at {scale:e}: {error}");
                    assert!(format.group().is_some() && scale > 1.0, "{format} at {scale:e}");
                }
            }
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let mut numbers = Numbers::new(24);
    let hessian = hessian(COLS, &numbers.activations(400, COLS));
    let factor = natural(&hessian);
    let mut weights = numbers.normals(20 * COLS);
    weights[18 * COLS + 9] = f32::NAN;
    for format in FORMATS {
        let error = gptq(&rows(COLS, &weights), 20, &factor, RoundingSpec::to(format)).unwrap_err();
        assert!(matches!(error, EncodeError::NotFinite { row: 18, col: 9, .. }), "{format}: {error}");
    }
    weights[18 * COLS + 9] = 3e6;
    let error = gptq(&rows(COLS, &weights), 20, &factor, RoundingSpec::to(INT4)).unwrap_err();
    assert_eq!(error, EncodeError::Overflow { format: INT4, row: 18, col: 9, value: 3e6 });

    let outliers =
        RoundingSpec { outlier_columns: &[9], ..RoundingSpec::to(Format::Int8 { outliers: true }) };
    let error = gptq(&rows(COLS, &weights), 20, &factor, outliers).unwrap_err();
    assert!(matches!(error, EncodeError::Overflow { row: 18, col: 9, .. }), "{error}");
    let outliers = RoundingSpec { outlier_columns: &[9, 256], ..outliers };
    let error = gptq(&rows(COLS, &weights), 20, &factor, outliers).unwrap_err();
    assert_eq!(error, EncodeError::OutlierColumns { cols: COLS, column: 256 });

    let error =
        nearest(&rows(100, &weights[..100]), 1, &[1.0; 100], RoundingSpec::to(Format::Nf4)).unwrap_err();
    assert_eq!(error, EncodeError::Columns { format: Format::Nf4, multiple: 64, cols: 100 });
}

#[test]
fn nothing_is_nothing() {
    for format in FORMATS {
        let none = gptq(&rows(0, &[]), 3, &natural(&Hessian::new(0)), RoundingSpec::to(format)).unwrap();
        assert_eq!((none.encoded.rows, none.encoded.cols), (3, 0));
        let none =
            gptq(&rows(COLS, &[]), 0, &natural(&Hessian::new(COLS)), RoundingSpec::to(format)).unwrap();
        assert_eq!((none.encoded.rows, none.encoded.cols), (0, COLS));
    }
}
