//! What the transforms of a weight do to its values, rounding aside.

use samp_ir::Diagnostic;
use samp_kernels::{format::RowSource, quantize::HadamardRotation};
use samp_passes::transform::{Rotation, Transform};

use super::equalization_scales::EqualizationScales;
use crate::{error_code, import::Checkpoint, lower::TensorSpec};

/// The values of a tensor after all its transforms but rounding, row-major.
pub(super) fn transformed(
    tensor: &TensorSpec,
    checkpoint: &Checkpoint,
    equalization: &EqualizationScales,
) -> Result<Vec<f32>, Diagnostic> {
    after(tensor, &tensor.transforms, checkpoint, equalization)
}

/// The values of a tensor after some of its transforms, row-major. All are finite, before and after: a rotation would
/// spread a single one that is not.
pub(super) fn after(
    tensor: &TensorSpec,
    transforms: &[Transform],
    checkpoint: &Checkpoint,
    equalization: &EqualizationScales,
) -> Result<Vec<f32>, Diagnostic> {
    let names: Vec<&str> = tensor.sources.iter().map(|s| s.name.as_str()).collect();
    let mut values = vec![0.0; tensor.elements() as usize];
    checkpoint.rows(&names)?.read(0, &mut values);
    check_finite(tensor, &values)?;
    let cols = tensor.cols as usize;
    // A bias is one row whose columns are the outputs.
    let output_width = if tensor.rows == 1 { 1 } else { cols };
    for transform in transforms {
        match transform {
            Transform::Ones => values.fill(1.0),
            Transform::FoldColumns(norm) => {
                let mut factors = vec![0.0; cols];
                checkpoint.rows(&[norm])?.read(0, &mut factors);
                multiply_columns(&mut values, cols, |column| factors[column]);
            }
            Transform::ScaleRows(pair) => {
                let Some(scales) = equalization.scales(pair) else { continue };
                divide_last_rows(&mut values, output_width, scales);
            }
            Transform::ScaleColumns(pair) => {
                let Some(scales) = equalization.scales(pair) else { continue };
                multiply_columns(&mut values, cols, |column| scales[pair.channel(column)]);
            }
            Transform::RotateColumns(by) => hadamard(by).rotate_rows(&mut values),
            Transform::RotateRows(by) => rotate_last_rows(&mut values, output_width, by),
            Transform::Concat
            | Transform::Correct
            | Transform::KeepColumns(_)
            | Transform::Compensate
            | Transform::Refine => {}
        }
    }
    check_finite(tensor, &values)?;
    Ok(values)
}

fn check_finite(tensor: &TensorSpec, values: &[f32]) -> Result<(), Diagnostic> {
    let Some(at) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let (row, col) = (at / tensor.cols as usize, at % tensor.cols as usize);
    let names: Vec<&str> = tensor.sources.iter().map(|source| source.name.as_str()).collect();
    let message =
        format!("expected finite weights, found {} in row {row}, column {col} of them together", values[at]);
    Err(Diagnostic::bad_input(error_code::NOT_FINITE, message)
        .at_tensor(names.join(" + "))
        .hint("the checkpoint is damaged or its training diverged: fetch or save it again"))
}

fn multiply_columns(values: &mut [f32], cols: usize, factor: impl Fn(usize) -> f32) {
    for row in values.chunks_exact_mut(cols) {
        row.iter_mut().enumerate().for_each(|(column, w)| *w *= factor(column));
    }
}

fn divide_last_rows(values: &mut [f32], cols: usize, scales: &[f32]) {
    let start = values.len() - scales.len() * cols;
    for (row, scale) in values[start..].chunks_exact_mut(cols).zip(scales) {
        row.iter_mut().for_each(|w| *w /= scale);
    }
}

fn rotate_last_rows(values: &mut [f32], cols: usize, by: &Rotation) {
    let (rotation, block) = (hadamard(by), by.width as usize * cols);
    let start = values.len() - by.runs as usize * block;
    values[start..].chunks_exact_mut(block).for_each(|rows| rotation.rotate_columns(rows, cols));
}

fn hadamard(by: &Rotation) -> HadamardRotation {
    HadamardRotation::new(by.width as usize, by.seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One channel a thousand times the others: afterwards none is four times the average, and values still meet the
    /// columns that read them.
    #[test]
    fn rotation_spreads_an_outlier_channel_and_keeps_products() {
        let (width, outputs) = (64, 3);
        let channel = |c: usize| if c == 17 { 1000.0 } else { 1.0 + c as f32 / 64.0 };
        let mut reader: Vec<f32> = (0..outputs * width).map(|i| channel(i % width)).collect();
        let mut writer: Vec<f32> = (0..width).flat_map(|c| [channel(c), -channel(c)]).collect();
        let product = |reader: &[f32], writer: &[f32]| -> f64 {
            (0..width).map(|c| f64::from(reader[c]) * f64::from(writer[2 * c])).sum()
        };
        let before = product(&reader, &writer);
        let by = Rotation { seed: 3, width: width as u64, runs: 1 };
        hadamard(&by).rotate_rows(&mut reader);
        rotate_last_rows(&mut writer, 2, &by);
        let row = &reader[..width];
        let rms = (row.iter().map(|w| w * w).sum::<f32>() / width as f32).sqrt();
        let largest = row.iter().fold(0.0f32, |most, w| most.max(w.abs()));
        assert!(largest < 4.0 * rms, "{largest} of {rms}");
        assert!((product(&reader, &writer) / before - 1.0).abs() < 1e-5);
    }

    /// The last two heads of two channels are rotated, each for itself; a bias does as its rows do.
    #[test]
    fn heads_are_rotated_each_for_itself_and_the_rows_before_stay() {
        let by = Rotation { seed: 5, width: 2, runs: 2 };
        let before: Vec<f32> = (0..7).map(|i| i as f32).collect();
        let mut bias = before.clone();
        rotate_last_rows(&mut bias, 1, &by);
        let mut heads = before[3..].to_vec();
        hadamard(&by).rotate_rows(&mut heads);
        assert_eq!(bias[..3], before[..3]);
        assert_eq!(bias[3..], heads);
        let mut rows: Vec<f32> = before.iter().flat_map(|&b| [b, b]).collect();
        rotate_last_rows(&mut rows, 2, &by);
        assert!(rows.chunks_exact(2).zip(&bias).all(|(row, &b)| row == [b, b]));
    }
}
