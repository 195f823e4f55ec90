//! Compensated rounding.

use samp_abi::{Component, Format, Group};
use samp_kernels::{
    format,
    quantize::{
        CholeskyFactor, ColumnOrder, Damping, Hessian, RoundingSpec, ScaleSearch, gptq, nearest,
        output_energy, output_error,
    },
};

use super::{FORMATS, Numbers, assert_near, bytes, decode, hessian, on_any_threads, reference, rows};

/// Rounding with the columns that int8 keeps.
fn rounding(format: Format) -> RoundingSpec<'static> {
    RoundingSpec { outlier_columns: &[3, 70, 127], ..RoundingSpec::to(format) }
}

struct Layer {
    rows: usize,
    cols: usize,
    weights: Vec<f32>,
    hessian: Hessian,
}

fn layer(seed: u64, rows: usize, cols: usize) -> Layer {
    let mut numbers = Numbers::new(seed);
    let weights = numbers.normals(rows * cols).iter().map(|w| w * 0.02).collect();
    let hessian = hessian(cols, &numbers.activations(2 * cols, cols));
    Layer { rows, cols, weights, hessian }
}

/// Codes are the same as by the definition in plain loops, under the scales of the result; but where a weight lies in the
/// middle of two values up to rounding errors, either is right, and what follows in that row differs.
#[test]
fn codes_are_those_of_plain_loops() {
    let Layer { rows: count, cols, weights, hessian } = layer(10, 19, 256);
    for format in FORMATS {
        for block in [0, 1, format.column_multiple() as usize] {
            let order = if block == 0 { ColumnOrder::Natural } else { ColumnOrder::Descending { block } };
            let factor = CholeskyFactor::new(&hessian, order, Damping::default());
            let found = gptq(&rows(cols, &weights), count, &factor, rounding(format)).unwrap().encoded;
            let decoded = decode(&found);
            let dense = reference::dense(&hessian, factor.perm(), |_| 0.01 * hessian.mean_diagonal());
            for row in [0, 7, 18] {
                let start = row * cols;
                let ordered: Vec<f64> =
                    factor.perm().iter().map(|&c| f64::from(weights[start + c])).collect();
                let expected = reference::compensate(&dense, &ordered, |k, w| {
                    reference::nearest(&reference::values(&found, row, factor.perm()[k]), w[k])
                });
                for (&column, expected) in factor.perm().iter().zip(expected) {
                    let found = f64::from(decoded[start + column]);
                    assert_eq!(found, expected, "{format}, {order:?}: row {row}, column {column}");
                }
            }
        }
    }
}

/// Without a search the scale of a block just reaches its largest weight, as compensated when the block is reached.
#[test]
fn scales_of_groups_follow_compensated_weights() {
    let Layer { rows: count, cols, weights, hessian } = layer(11, 5, 256);
    let format = Format::Int4 { group: Group::G64, zero_point: false };
    let factor = CholeskyFactor::new(&hessian, ColumnOrder::Natural, Damping::default());
    let search = RoundingSpec { search: ScaleSearch::NONE, ..RoundingSpec::to(format) };
    let found = gptq(&rows(cols, &weights), count, &factor, search).unwrap().encoded;
    let scales: &[half::f16] = found.view().part_as(Component::Scales);
    let dense = reference::dense(&hessian, factor.perm(), |_| 0.01 * hessian.mean_diagonal());
    let mut moved = 0.0_f64;
    for row in 0..count {
        let weights: Vec<f64> = weights[row * cols..][..cols].iter().map(|&w| f64::from(w)).collect();
        reference::compensate(&dense, &weights, |k, w| {
            if k.is_multiple_of(64) {
                let extreme =
                    w[k..k + 64].iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
                let scale = scales[row * cols / 64 + k / 64].to_f64();
                assert_near(scale, extreme / -8.0, 1e-3, "scale");
                moved = moved.max((extreme - weights[k..k + 64].iter().copied().fold(0.0, f64::max)).abs());
            }
            reference::nearest(&reference::values(&found, row, k), w[k])
        });
    }
    assert!(moved > 0.0, "no weight was compensated");
}

#[test]
fn compensation_beats_the_nearest_value_in_every_format() {
    let Layer { rows: count, cols, weights, hessian } = layer(12, 96, 384);
    let source = rows(cols, &weights);
    let energy = output_energy(&source, count, &hessian);
    let dampings = Damping::default();
    let factors =
        [ColumnOrder::Natural, ColumnOrder::Descending { block: 64 }, ColumnOrder::Descending { block: 1 }]
            .map(|order| CholeskyFactor::new(&hessian, order, dampings));
    println!("output error / output energy; {count} x {cols}, correlated inputs");
    println!(
        "{:>14} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "format", "encode", "nearest", "natural", "by block", "free"
    );
    for format in FORMATS {
        let rounding = rounding(format);
        let plain = format::encode(format, count, cols, &source, rounding.outlier_columns).unwrap();
        let refined = nearest(&source, count, &hessian.diagonal(), rounding).unwrap();
        let [plain, refined] = [plain, refined].map(|t| output_error(&source, t.view(), &hessian) / energy);
        let [natural, by_block, free] =
            factors.each_ref().map(|f| gptq(&source, count, f, rounding).unwrap().error / energy);
        println!("{format:>14} {plain:9.2e} {refined:9.2e} {natural:9.2e} {by_block:9.2e} {free:9.2e}");
        assert!(refined <= plain * 1.001, "{format}: the search lost, {refined:e} for {plain:e}");
        for error in [natural, by_block, free] {
            assert!(error < 0.8 * refined, "{format}: {error:e} is not less than {refined:e}");
        }
    }
}

#[test]
fn the_error_claimed_is_that_of_the_decoded_weights() {
    for (seed, count, cols) in [(13, 1, 128), (14, 33, 256), (15, 70, 640)] {
        let Layer { weights, hessian, .. } = layer(seed, count, cols);
        let source = rows(cols, &weights);
        for format in FORMATS {
            for order in [ColumnOrder::Natural, ColumnOrder::Descending { block: 1 }] {
                let factor = CholeskyFactor::new(&hessian, order, Damping::default());
                let result = gptq(&source, count, &factor, rounding(format)).unwrap();
                result.encoded.view().check().unwrap();
                let measured = output_error(&source, result.encoded.view(), &hessian);
                assert_near(result.error, measured, 1e-9, format.name());
            }
            let errors: Vec<f64> = (weights
                .iter()
                .zip(decode(&nearest(&source, count, &hessian.diagonal(), rounding(format)).unwrap())))
            .map(|(&w, q)| f64::from(w) - f64::from(q))
            .collect();
            if seed == 13 {
                let encoded = nearest(&source, count, &hessian.diagonal(), rounding(format)).unwrap();
                let measured = output_error(&source, encoded.view(), &hessian);
                assert_near(measured, reference::quadratic(&hessian, &errors), 1e-12, format.name());
            }
        }
    }
}

#[test]
fn no_bit_depends_on_threads() {
    let Layer { rows: count, cols, weights, hessian } = layer(16, 150, 384);
    let source = rows(cols, &weights);
    for format in FORMATS {
        let factor = CholeskyFactor::new(&hessian, ColumnOrder::Descending { block: 1 }, Damping::default());
        on_any_threads(format.name(), || {
            let result = gptq(&source, count, &factor, rounding(format)).unwrap();
            let parts: Vec<Vec<u8>> = bytes(&result.encoded).iter().map(|b| b.to_vec()).collect();
            let measured = output_error(&source, result.encoded.view(), &hessian);
            (parts, result.error.to_bits(), measured.to_bits())
        });
    }
}

/// Rows are rounded by themselves: nothing of a row depends on how many there are. Only nf4, fp4 and fp8 per tensor share
/// scales between rows.
#[test]
fn rows_do_not_depend_on_each_other() {
    let Layer { cols, weights, hessian, .. } = layer(17, 37, 256);
    let factor = CholeskyFactor::new(&hessian, ColumnOrder::Natural, Damping::default());
    for format in FORMATS.into_iter().filter(|f| !matches!(f.name(), "nf4" | "fp4" | "fp8_e4m3_tensor")) {
        let all = decode(&gptq(&rows(cols, &weights), 37, &factor, rounding(format)).unwrap().encoded);
        for first in [0, 5, 36] {
            let some = &weights[first * cols..];
            let found = gptq(&rows(cols, some), 37 - first, &factor, rounding(format)).unwrap();
            assert!(decode(&found.encoded) == all[first * cols..], "{format} from row {first}");
        }
    }
}

#[test]
fn without_a_search_the_nearest_is_what_encode_gives() {
    let Layer { rows: count, cols, weights, .. } = layer(18, 21, 256);
    let source = rows(cols, &weights);
    for format in Format::ALL.into_iter().filter(|f| !matches!(f, Format::Nf4 | Format::Fp4)) {
        let rounding = RoundingSpec { search: ScaleSearch::NONE, ..rounding(format) };
        let found = nearest(&source, count, &vec![1.0; cols], rounding).unwrap();
        let expected = format::encode(format, count, cols, &source, rounding.outlier_columns).unwrap();
        assert!(bytes(&found) == bytes(&expected), "{format}");
    }
}
