//! Rounding a tensor to a format: the format's codebook, and its rows in strips of 16 over the threads.

use half::f16;
use rayon::prelude::*;
use samp_abi::{Format, ScaleAxis};

use super::codebook::{Codebook, Extent, Fp8, Integers, Scale, Table};
use super::columns::Columns;
use super::gptq::{Strip, StripContext};
use super::matmul::WIDE;
use super::store::CellRows;
use super::{CholeskyFactor, RoundingSpec, scale_search, store};
use crate::encoded::Encoded;
use crate::format::{self, EncodeError, RowSource, fp8_scale};

/// Strips that one task rounds together, so that a panel of the factor read from memory serves all of them.
const STRIPS: usize = 4;

/// A rounded tensor.
#[derive(Clone, Debug)]
pub struct RoundedTensor {
    /// The tensor, row-major.
    pub encoded: Encoded,
    /// Its output error `tr((W − Ŵ) H (W − Ŵ)ᵀ)`, damping not counted; 0 for plain floats.
    pub error: f64,
}

/// Rounds every weight to the nearest value under the best scales found by the search, with `energy` (the diagonal of the
/// Hessian, one for each column) as weight of the errors.
///
/// Scales are judged as they are stored, and codes chosen under the stored scale: f16 of int4 and the 8-bit absmax code of
/// nf4 and fp4 cost less than under [`crate::format::encode`], whose nf4 and fp4 must equal another library's.
/// Panics if `energy` is empty; its length is the number of columns.
pub fn nearest(
    source: &dyn RowSource,
    rows: usize,
    energy: &[f64],
    rounding: RoundingSpec,
) -> Result<Encoded, EncodeError> {
    let columns = Columns::new((0..energy.len()).collect(), energy, &rounding)?;
    Ok(round(source, rows, &columns, None, &rounding)?.encoded)
}

/// Rounds `rows` rows of `source` so that the output error under the Hessian that `factor` was made of is small.
///
/// Scales of blocks and groups are found by the search when their first column is reached, on the weights as corrected
/// by then, if the order keeps the blocks together ([`super::ColumnOrder`]); scales of channels and of the tensor are found
/// first. nf4 and fp4 search among the absmax values that can be stored: offset and group scales are fixed beforehand
/// from the original weights with some room, so that the scale that errors are made up for is the one decoded.
///
/// Takes the result, a byte for each weight, and for each thread 10 bytes for each of 64 rows' weights.
pub fn gptq(
    source: &dyn RowSource,
    rows: usize,
    factor: &CholeskyFactor,
    rounding: RoundingSpec,
) -> Result<RoundedTensor, EncodeError> {
    let columns = Columns::from_factor(factor, &rounding)?;
    round(source, rows, &columns, Some(factor), &rounding)
}

/// Rounds in the order of `columns`; with a factor, makes up for errors.
fn round(
    source: &dyn RowSource,
    rows: usize,
    columns: &Columns,
    factor: Option<&CholeskyFactor>,
    rounding: &RoundingSpec,
) -> Result<RoundedTensor, EncodeError> {
    let (format, cols) = (rounding.format, columns.perm.len());
    let plain = || {
        let encoded = format::encode(format, rows, cols, source, &[])?;
        Ok(RoundedTensor { encoded, error: 0.0 })
    };
    if rows == 0 || cols == 0 {
        return plain();
    }
    let run = RoundingRun { source, rows, cols, rounding, columns, factor };
    match format {
        Format::F32 | Format::F16 | Format::Bf16 => plain(),
        Format::Nf4 | Format::Fp4 => {
            let table = Table::new(format, &run.absmax(columns.block)?);
            let mut result = run.round(&table)?;
            store::set_groups(&mut result.encoded, &table);
            Ok(result)
        }
        Format::Fp8E4m3(ScaleAxis::Tensor) => {
            let fixed = Some(run.fp8_scale()?);
            run.round(&Fp8 { fixed })
        }
        Format::Fp8E4m3(ScaleAxis::Channel) => run.round(&Fp8 { fixed: None }),
        Format::Int8 { .. } | Format::Int4 { .. } | Format::Int5 { .. } | Format::Int6 { .. } => {
            run.round(&Integers::new(format))
        }
    }
}

/// The rounding of one tensor.
struct RoundingRun<'a> {
    source: &'a dyn RowSource,
    rows: usize,
    cols: usize,
    rounding: &'a RoundingSpec<'a>,
    columns: &'a Columns,
    factor: Option<&'a CholeskyFactor>,
}

impl RoundingRun<'_> {
    fn round<B: Codebook>(&self, codebook: &B) -> Result<RoundedTensor, EncodeError> {
        let context = StripContext {
            codebook,
            columns: self.columns,
            factor: self.factor.filter(|f| !f.upper.is_empty()),
            multiples: codebook.multiples(self.rounding.search),
            rows: self.rows,
        };
        let outliers = self.columns.kept.iter().flatten().count();
        let blocks = self.columns.blocks();
        let mut cells = store::Cells::new(self.rows, self.cols, blocks, outliers);
        let task_rows = STRIPS * WIDE;
        let outputs = cells
            .codes
            .par_chunks_mut(task_rows * self.cols)
            .zip(cells.scales.par_chunks_mut(task_rows * blocks))
            .zip(cells.losses.par_chunks_mut(task_rows));
        let kept: Vec<Result<Vec<f16>, EncodeError>> = outputs
            .enumerate()
            .map(|(task, ((codes, scales), losses))| {
                let first = task * task_rows;
                let values = self.read(first, losses.len())?;
                let mut strips: Vec<Strip> = (values.chunks(WIDE * self.cols).enumerate())
                    .map(|(i, rows)| Strip::new(&context, first + i * WIDE, rows))
                    .collect();
                drop(values);
                context.round(&mut strips);
                Ok(store::gather(&strips, CellRows { codes, scales, losses }, outliers))
            })
            .collect();
        for part in kept {
            cells.kept.extend(part?);
        }
        self.check(&cells)?;
        let error = cells.losses.iter().sum();
        Ok(RoundedTensor { encoded: store::encoded(self.rounding, self.cols, &cells), error })
    }

    /// Some rows, all finite.
    fn read(&self, first: usize, rows: usize) -> Result<Vec<f32>, EncodeError> {
        let mut values = vec![0.0; rows * self.cols];
        self.source.read(first, &mut values);
        match values.iter().position(|x| !x.is_finite()) {
            None => Ok(values),
            Some(at) => Err(EncodeError::NotFinite {
                format: self.rounding.format,
                row: first + at / self.cols,
                col: at % self.cols,
                value: values[at],
            }),
        }
    }

    /// What `measure` makes of every row, one after another.
    fn measure<T: Send>(&self, measure: impl Fn(&[f32]) -> Vec<T> + Sync) -> Result<Vec<T>, EncodeError> {
        let rows: Vec<Result<Vec<T>, EncodeError>> =
            (0..self.rows).into_par_iter().map(|row| Ok(measure(&self.read(row, 1)?))).collect();
        let mut all = Vec::new();
        for row in rows {
            all.extend(row?);
        }
        Ok(all)
    }

    /// The largest magnitude of every block.
    fn absmax(&self, block: usize) -> Result<Vec<f32>, EncodeError> {
        let largest = |x: &[f32]| x.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        self.measure(|row| row.chunks(block).map(largest).collect())
    }

    /// The scale of the tensor: that with the least error of all rows together.
    fn fp8_scale(&self) -> Result<f32, EncodeError> {
        let absmax = self.absmax(self.cols)?.into_iter().fold(0.0, f32::max);
        let multiples = self.rounding.search.multiples(false);
        let candidates: Vec<f32> = multiples.iter().map(|m| fp8_scale(m * absmax)).collect();
        if absmax == 0.0 || candidates.len() == 1 {
            return Ok(fp8_scale(absmax));
        }
        let extents = [Extent { low: 0.0, high: absmax }; WIDE];
        let permuted = |row: &[f32]| -> Vec<[f32; WIDE]> {
            self.columns.perm.iter().map(|&column| [row[column]; WIDE]).collect()
        };
        let errors = self.measure(|row| {
            let x = permuted(row);
            let error = |&fixed: &f32| {
                let (codebook, scales) = (Fp8 { fixed: None }, [Scale { scale: fixed, tag: 0 }; WIDE]);
                scale_search::errors(&codebook, &x, &self.columns.importance, &scales, &extents)[0]
            };
            candidates.iter().map(error).collect()
        })?;
        let total = |i: usize| errors.iter().skip(i).step_by(candidates.len()).map(|&e| f64::from(e)).sum();
        let totals: Vec<f64> = (0..candidates.len()).map(total).collect();
        let best = (0..totals.len()).min_by(|&i, &j| totals[i].total_cmp(&totals[j]));
        Ok(candidates[best.unwrap_or(0)])
    }

    /// The error for a block whose scale the format cannot hold, or an outlier beyond f16.
    fn check(&self, cells: &store::Cells) -> Result<(), EncodeError> {
        let blocks = self.columns.blocks();
        let lost = cells.scales.iter().position(|s| !s.scale.is_finite());
        let lost = lost.map(|at| (at / blocks, at % blocks * self.columns.block, self.columns.block));
        let outliers = self.rounding.outlier_columns;
        let beyond = cells.kept.iter().position(|x| !x.is_finite());
        let beyond = beyond.map(|at| (at / outliers.len(), outliers[at % outliers.len()] as usize, 1));
        let Some((row, first, width)) = lost.or(beyond) else { return Ok(()) };
        let values = self.read(row, 1)?;
        let largest = |&i: &usize, &j: &usize| values[i].abs().total_cmp(&values[j].abs());
        let col = (first..first + width).max_by(largest).unwrap_or(first);
        Err(EncodeError::Overflow { format: self.rounding.format, row, col, value: values[col] })
    }
}
