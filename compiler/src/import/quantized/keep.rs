//! Formats of samp that hold what another tool stored: the same values, code by code.

use half::f16;
use samp_abi::{ABSMAX_GROUP, BLOCK, Component, Format, Group, Layout, ScaleAxis};
use samp_kernels::{
    encoded::Encoded,
    format::{ABSMAX_MAP, FP4, FP8_MAX, NF4},
};

use super::{
    scales::Meaning,
    weight::{Codebook, GridWeight, Groups},
};

/// Why a weight cannot be kept.
pub(in crate::import) type Lost = String;

/// Code of a NaN in OCP E4M3, without its sign.
const FP8_NAN: u8 = 0x7f;

impl GridWeight {
    /// The format that holds the very values of the weight.
    pub(in crate::import) fn kept_format(&self) -> Result<Format, Lost> {
        match &self.codes.book {
            Codebook::Fp8 => self.kept_fp8(),
            Codebook::Table(table) => self.kept_table(table),
            Codebook::Unsigned { .. } | Codebook::Signed => self.kept_integers(),
        }
    }

    /// The mean of its block maxima and how many there are, where their codes are kept.
    pub(in crate::import) fn kept_block_maxima(&self) -> Option<(f32, u64)> {
        let (Ok(Format::Nf4 | Format::Fp4), Meaning::Nested { offset, .. }) =
            (self.kept_format(), &self.scales.meaning)
        else {
            return None;
        };
        Some((*offset, (self.shape[0] as usize * self.cols() / BLOCK as usize) as u64))
    }

    /// Columns that share a scale in every row; `None` where these are not the same in each.
    fn group(&self) -> Option<usize> {
        match self.groups {
            Groups::Columns(size) => Some(size.min(self.cols())),
            Groups::Flat(size) => self.cols().is_multiple_of(size).then_some(size),
            Groups::Listed(_) => None,
        }
    }

    /// A scale for all or for each row becomes one for each row.
    fn kept_fp8(&self) -> Result<Format, Lost> {
        match self.group() {
            Some(size) if size == self.cols() => {
                self.check_row_scales(FP8_MAX)?;
                Ok(Format::Fp8E4m3(ScaleAxis::Channel))
            }
            _ => Err("its scales are of blocks of rows and columns".into()),
        }
    }

    fn kept_table(&self, table: &[f32; 16]) -> Result<Format, Lost> {
        let format = match table {
            table if same_table(table, &NF4) => Format::Nf4,
            table if same_table(table, &FP4) => Format::Fp4,
            _ => return Err("its codes stand for values of a table that no format of samp has".into()),
        };
        if self.group() != Some(BLOCK as usize) {
            return Err(format!("its blocks are not of {BLOCK} columns of one row"));
        }
        match &self.scales.meaning {
            Meaning::Nested { map, group, .. } if *group as u64 == ABSMAX_GROUP && **map == ABSMAX_MAP => {
                Ok(format)
            }
            Meaning::Nested { .. } => Err("its absmax values are quantized in another way".into()),
            _ => Err("its absmax values are f32, which no format of samp has".into()),
        }
    }

    fn kept_integers(&self) -> Result<Format, Lost> {
        let group = self.group().ok_or("its groups are scattered over the columns")?;
        if self.codes.array.bits() == 8 {
            return match (group == self.cols(), &self.zeros) {
                (true, zeros) if zeros.is_none() || self.is_symmetric() => {
                    self.check_row_scales(128.0)?;
                    Ok(Format::INT8)
                }
                (true, _) => Err("its 8-bit codes have zero points".into()),
                (false, _) => Err(format!("its 8-bit codes have a scale for each {group} columns")),
            };
        }
        if self.codes.array.bits() != 4 {
            return Err(format!("its codes have {} bits", self.codes.array.bits()));
        }
        let fits = |size: u64| (group as u64).is_multiple_of(size);
        let group = match [Group::G128, Group::G64].into_iter().find(|group| fits(group.size())) {
            Some(found) if (self.cols() as u64).is_multiple_of(found.size()) => found,
            _ => return Err(format!("its groups have {group} columns")),
        };
        if let Some(scale) = self.scales_of_groups().find(|&scale| f16::from_f32(scale).to_f32() != scale) {
            return Err(format!("its scale {scale:e} is none in f16"));
        }
        Ok(Format::Int4 { group, zero_point: !self.is_symmetric() })
    }

    /// Scales of rows are positive numbers that keep the `largest` code finite; a row of scale 0 is one of zeros.
    fn check_row_scales(&self, largest: f32) -> Result<(), Lost> {
        let holds = |scale: f32| scale == 0.0 || (f32::MIN_POSITIVE..=f32::MAX / largest).contains(&scale);
        match self.scales_of_groups().find(|&scale| !holds(scale)) {
            Some(scale) => Err(format!("its scale {scale:e} is none of a row in samp")),
            None => Ok(()),
        }
    }

    fn scales_of_groups(&self) -> impl Iterator<Item = f32> {
        let rows = self.shape[0] as usize;
        (0..rows).flat_map(move |row| self.groups_of_row(row).map(move |group| self.scales.at(row, group)))
    }

    /// Whether every zero point is the middle of the codes.
    fn is_symmetric(&self) -> bool {
        let Some(zeros) = &self.zeros else { return true };
        let middle = self.middle();
        let rows = self.shape[0] as usize;
        (0..rows).all(|row| self.groups_of_row(row).all(|group| zeros.code_at(row, group) == middle))
    }

    /// The code that stands for zero where nothing is subtracted from two's complement.
    fn middle(&self) -> u8 {
        match self.codes.book {
            Codebook::Signed => 0,
            _ => 1 << (self.codes.array.bits() - 1),
        }
    }

    /// Codes as they are; none of them may stand for no number.
    fn keep_fp8(&self, into: &mut Encoded, first: usize) -> Result<(), Lost> {
        let cols = self.cols();
        let [values, scales] = into.parts_mut([Component::Values, Component::Scales]);
        let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
        let rows = values[first * cols..].chunks_exact_mut(cols).zip(&mut scales[first..]);
        for ((row, (codes, scale)), _) in rows.enumerate().zip(0..self.shape[0]) {
            *scale = self.scales.at(row, 0);
            if *scale == 0.0 {
                *scale = 1.0;
                continue;
            }
            for (col, code) in codes.iter_mut().enumerate() {
                *code = self.code(row, col);
                if *code & 0x7f == FP8_NAN {
                    return Err(format!("its code in row {row}, column {col} is no number"));
                }
            }
        }
        Ok(())
    }

    fn keep_int8(&self, into: &mut Encoded, first: usize) {
        let (cols, middle) = (self.cols(), self.middle());
        let [values, scales] = into.parts_mut([Component::Values, Component::Scales]);
        let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
        let rows = values[first * cols..].chunks_exact_mut(cols).zip(&mut scales[first..]);
        for ((row, (codes, scale)), _) in rows.enumerate().zip(0..self.shape[0]) {
            *scale = self.scales.at(row, self.groups_of_row(row).start) * self.factor.unwrap_or(1.0);
            if *scale == 0.0 {
                *scale = 1.0;
                continue;
            }
            codes.iter_mut().enumerate().for_each(|(col, code)| *code = self.code(row, col) ^ middle);
        }
    }

    /// Two codes to a byte, the first in the high nibble, symmetric ones in two's complement.
    fn keep_int4(&self, into: &mut Encoded, first: usize, (group, zero_point): (Group, bool)) {
        let (cols, group) = (self.cols(), group.size() as usize);
        let groups = cols / group;
        let flip = if zero_point { 0 } else { self.middle() };
        let [values, scales, zeros] =
            into.parts_mut([Component::Values, Component::Scales, Component::ZeroPoints]);
        let scales: &mut [f16] = bytemuck::cast_slice_mut(scales);
        let own_group = |index: usize, row: usize| {
            let range = self.groups_of_row(row);
            range.start + index * group * range.len() / cols
        };
        for row in 0..self.shape[0] as usize {
            let bytes = &mut values[(first + row) * cols / 2..][..cols / 2];
            for (pair, byte) in bytes.iter_mut().enumerate() {
                let code = |col: usize| (self.code(row, col) ^ flip) & 15;
                *byte = code(2 * pair) << 4 | code(2 * pair + 1);
            }
            for index in 0..groups {
                let at = (first + row) * groups + index;
                scales[at] = f16::from_f32(self.scales.at(row, own_group(index, row)));
                if let Some(points) = self.zeros.as_ref().filter(|_| zero_point) {
                    let nibble = points.code_at(row, own_group(index, row)) & 15;
                    zeros[at / 2] |= if at.is_multiple_of(2) { nibble << 4 } else { nibble };
                }
            }
        }
    }

    /// Codes, and absmax codes with their scales. Groups of these run on from weight to weight, and all have one mean.
    fn keep_blocks(&self, into: &mut Encoded, first: usize) -> Result<(), Lost> {
        let Meaning::Nested { scales: own, group, offset, .. } = &self.scales.meaning else {
            return Err("its absmax values are not quantized".into());
        };
        let (cols, rows) = (self.cols(), self.shape[0] as usize);
        let blocks = cols / BLOCK as usize;
        if !(first * blocks).is_multiple_of(*group) {
            return Err("its groups of absmax values do not begin where the weights before it end".into());
        }
        let [values, codes, scales, mean] = into.parts_mut([
            Component::Values,
            Component::AbsmaxCodes,
            Component::AbsmaxScales,
            Component::AbsmaxOffset,
        ]);
        let before = f32::from_le_bytes(mean[..4].try_into().expect("an f32"));
        if first > 0 && before != *offset {
            return Err(
                "the mean of its absmax values is another than that of the weights fused with it".into()
            );
        }
        mean[..4].copy_from_slice(&offset.to_le_bytes());
        for row in 0..rows {
            let bytes = &mut values[(first + row) * cols / 2..][..cols / 2];
            for (pair, byte) in bytes.iter_mut().enumerate() {
                *byte = self.code(row, 2 * pair) << 4 | self.code(row, 2 * pair + 1);
            }
        }
        let stored = &self.scales.tensor.bytes()[..rows * blocks];
        codes[first * blocks..][..rows * blocks].copy_from_slice(stored);
        let at = 4 * (first * blocks / group);
        scales[at..][..own.bytes().len()].copy_from_slice(own.bytes());
        Ok(())
    }
}

fn same_table(found: &[f32; 16], ours: &[f32; 16]) -> bool {
    // A zero may have either sign.
    found.iter().zip(ours).all(|(a, b)| a == b)
}

/// Weights below one another, of which each is kept in `format`, as one tensor.
pub(in crate::import) fn kept(weights: &[&GridWeight], format: Format) -> Result<Encoded, Lost> {
    let cols = weights[0].cols();
    let rows = weights.iter().map(|weight| weight.shape[0] as usize).sum();
    let mut encoded = Encoded::zeroed(format, Layout::RowMajor, rows, cols, 0);
    let mut first = 0;
    for weight in weights {
        match format {
            Format::Fp8E4m3(_) => weight.keep_fp8(&mut encoded, first)?,
            Format::Int8 { .. } => weight.keep_int8(&mut encoded, first),
            Format::Int4 { group, zero_point } => weight.keep_int4(&mut encoded, first, (group, zero_point)),
            _ => weight.keep_blocks(&mut encoded, first)?,
        }
        first += weight.shape[0] as usize;
    }
    Ok(encoded)
}
