//! From codes and scales to the arrays of an encoded tensor.

use bytemuck::cast_slice_mut;
use half::f16;
use rayon::prelude::*;
use samp_abi::{Component, Format, Layout};

use super::RoundingSpec;
use super::codebook::{Scale, Table};
use super::gptq::Strip;
use super::matmul::WIDE;
use crate::encoded::Encoded;
use crate::format::pack;

/// A rounded tensor, row-major, nothing packed.
pub(super) struct Cells {
    /// A code for each weight.
    pub codes: Vec<u8>,
    /// A scale for each row and block.
    pub scales: Vec<Scale>,
    /// `[rows, outlier columns]`.
    pub kept: Vec<f16>,
    /// Output error of each row.
    pub losses: Vec<f64>,
}

impl Cells {
    pub fn new(rows: usize, cols: usize, blocks: usize, outliers: usize) -> Cells {
        Cells {
            codes: vec![0; rows * cols],
            scales: vec![Scale::default(); rows * blocks],
            kept: Vec::with_capacity(rows * outliers),
            losses: vec![0.0; rows],
        }
    }
}

/// Some rows of [`Cells`], to be written.
pub(super) struct CellRows<'a> {
    pub codes: &'a mut [u8],
    pub scales: &'a mut [Scale],
    pub losses: &'a mut [f64],
}

/// Writes some strips as rows; returns the values of outlier columns.
pub(super) fn gather(strips: &[Strip], into: CellRows<'_>, outliers: usize) -> Vec<f16> {
    let CellRows { codes, scales, losses } = into;
    let rows = losses.len();
    let (cols, blocks) = (codes.len() / rows, scales.len() / rows);
    let mut kept = Vec::with_capacity(rows * outliers);
    for row in 0..rows {
        let (strip, i) = (&strips[row / WIDE], row % WIDE);
        copy_lane(&strip.codes, i, &mut codes[row * cols..][..cols]);
        copy_lane(&strip.scales, i, &mut scales[row * blocks..][..blocks]);
        kept.extend(strip.kept.iter().map(|lanes| lanes[i]));
        losses[row] = strip.losses[i];
    }
    kept
}

fn copy_lane<T: Copy, const N: usize>(from: &[[T; N]], lane: usize, to: &mut [T]) {
    to.iter_mut().zip(from).for_each(|(to, lanes)| *to = lanes[lane]);
}

/// Packs the arrays that `rounding.format` calls for; of nf4 and fp4 all but what [`set_groups`] adds.
pub(super) fn encoded(rounding: &RoundingSpec, cols: usize, cells: &Cells) -> Encoded {
    let (format, rows) = (rounding.format, cells.losses.len());
    let outliers = cells.kept.len().checked_div(rows).unwrap_or(0);
    let mut encoded = Encoded::zeroed(format, Layout::RowMajor, rows, cols, outliers);
    let [values, scales, tags] = encoded.parts_mut([
        Component::Values,
        Component::Scales,
        if format.group().is_some() { Component::ZeroPoints } else { Component::AbsmaxCodes },
    ]);
    let bits = format.code_bits() as usize;
    let rows_of_bytes = values.par_chunks_mut(cols * bits / 8).zip(cells.codes.par_chunks(cols));
    rows_of_bytes.for_each(|(bytes, codes)| pack(bits, codes, bytes));
    match format {
        Format::Int4 { .. } | Format::Int5 { .. } | Format::Int6 { .. } => {
            let scales: &mut [f16] = cast_slice_mut(scales);
            scales.iter_mut().zip(&cells.scales).for_each(|(s, cell)| *s = f16::from_f32(cell.scale));
            let zeros: Vec<u8> = cells.scales.iter().map(|cell| cell.tag).collect();
            pack(4, &zeros, tags);
        }
        Format::Nf4 | Format::Fp4 => {
            tags.iter_mut().zip(&cells.scales).for_each(|(tag, cell)| *tag = cell.tag);
        }
        Format::F32 | Format::F16 | Format::Bf16 => {}
        Format::Fp8E4m3(_) | Format::Int8 { .. } => {
            let scales: &mut [f32] = cast_slice_mut(scales);
            scales.iter_mut().zip(&cells.scales).for_each(|(s, cell)| *s = cell.scale);
        }
    }
    if format == (Format::Int8 { outliers: true }) {
        let [columns, kept] = encoded.parts_mut([Component::OutlierColumns, Component::OutlierValues]);
        columns.copy_from_slice(bytemuck::cast_slice(rounding.outlier_columns));
        kept.copy_from_slice(bytemuck::cast_slice(&cells.kept));
    }
    encoded
}

/// Sets what the absmax codes of nf4 and fp4 are decoded with.
pub(super) fn set_groups(encoded: &mut Encoded, table: &Table) {
    let [scales, offset] = encoded.parts_mut([Component::AbsmaxScales, Component::AbsmaxOffset]);
    scales.copy_from_slice(bytemuck::cast_slice(&table.scales));
    offset.copy_from_slice(&table.offset.to_le_bytes());
}
