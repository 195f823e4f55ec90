//! The tensors of one module, asked for by the ends of their names, each with what must hold of it.

use safetensors::Dtype;

use super::{
    codes::{CodeArray, Packing},
    scales::{Element, Meaning, Order, Scales},
    stored::StoredTensor,
    weight::{Codes, GridWeight, Groups, ZeroPoints},
};
use crate::import::checkpoint::Checkpoint;

/// A module of the architecture whose weight may be quantized.
pub(super) struct QuantizedModule<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    /// Its name, such as `model.layers.0.mlp.up_proj`.
    pub(super) name: &'a str,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// Why tensors make no weight.
pub(super) type Fault = String;

/// What scales a module's weight.
pub(super) struct Scaling {
    pub(super) scales: Scales,
    pub(super) groups: Groups,
}

impl<'a> QuantizedModule<'a> {
    /// The tensor of the module with this ending.
    pub(super) fn part(&self, ending: &str) -> Option<StoredTensor> {
        self.checkpoint.stored(&format!("{}.{ending}", self.name))
    }

    /// The same, which must be there and of one of these types.
    pub(super) fn need(&self, ending: &str, types: &[Dtype]) -> Result<StoredTensor, Fault> {
        let found = self
            .part(ending)
            .ok_or_else(|| format!("expected `{ending}` beside it, found no such tensor"))?;
        if types.is_empty() || types.contains(&found.dtype()) {
            return Ok(found);
        }
        Err(format!("expected `{ending}` in {}, found {:?}", listed(types), found.dtype()))
    }

    /// A single f32.
    pub(super) fn number(&self, ending: &str) -> Result<f32, Fault> {
        let found = self.need(ending, &[Dtype::F32])?;
        match (found.elements(), found.bytes().first_chunk()) {
            (1, Some(bytes)) if f32::from_le_bytes(*bytes).is_finite() => Ok(f32::from_le_bytes(*bytes)),
            _ => Err(format!("expected `{ending}` to be one finite number, found {:?}", found.shape())),
        }
    }

    /// Codes that fill a tensor.
    pub(super) fn codes(
        &self,
        tensor: StoredTensor,
        packing: Packing,
        bits: usize,
        shape: [usize; 2],
    ) -> Result<CodeArray, Fault> {
        let name = tensor.name().to_owned();
        let (found, of) = (tensor.bytes().len(), tensor.shape().to_vec());
        CodeArray::new(tensor, packing, bits, shape).map_err(|expected| {
            format!(
                "expected {expected} bytes of {bits}-bit codes for [{}, {}] in `{name}`, found {found} of shape {of:?}",
                shape[0], shape[1]
            )
        })
    }

    /// The scales of a tensor: one for all, one for each row, or one for each group of `group` columns of a row.
    pub(super) fn scaling(
        &self,
        tensor: StoredTensor,
        group: Option<usize>,
        meaning: Meaning,
    ) -> Result<Scaling, Fault> {
        let (rows, cols) = (self.rows as u64, self.cols as u64);
        let groups = group.map(|group| cols.div_ceil(group as u64));
        let (order, groups) = match (tensor.shape(), groups) {
            ([] | [1] | [1, 1], None) => (Order::RowMajor { row_block: self.rows, groups: 1 }, self.cols),
            ([r] | [r, 1], None) if *r == rows => (Order::RowMajor { row_block: 1, groups: 1 }, self.cols),
            ([r, g], Some(groups)) if (*r, *g) == (rows, groups) => {
                (Order::RowMajor { row_block: 1, groups: groups as usize }, group.unwrap_or(self.cols))
            }
            (found, groups) => {
                let expected = groups.map_or(format!("[], [1] or [{rows}, 1]"), |g| format!("[{rows}, {g}]"));
                return Err(format!(
                    "expected scales of shape {expected} in `{}`, found {found:?}",
                    tensor.name()
                ));
            }
        };
        self.scaled(tensor, order, Groups::Columns(groups), meaning)
    }

    /// The scales of blocks of so many rows and columns.
    pub(super) fn block_scaling(
        &self,
        tensor: StoredTensor,
        [height, width]: [usize; 2],
    ) -> Result<Scaling, Fault> {
        let expected = [self.rows.div_ceil(height) as u64, self.cols.div_ceil(width) as u64];
        if tensor.shape() != expected {
            let found = tensor.shape();
            return Err(format!(
                "expected scales of shape {expected:?} in `{}`, found {found:?}",
                tensor.name()
            ));
        }
        let order = Order::RowMajor { row_block: height, groups: expected[1] as usize };
        self.scaled(tensor, order, Groups::Columns(width), Meaning::Itself)
    }

    /// Scales whose places are known.
    pub(super) fn scaled(
        &self,
        tensor: StoredTensor,
        order: Order,
        groups: Groups,
        meaning: Meaning,
    ) -> Result<Scaling, Fault> {
        let element = match &meaning {
            // A code of the map.
            Meaning::Nested { .. } => Element::E8m0,
            _ => Element::of(tensor.dtype()).ok_or_else(|| {
                format!("expected scales in `{}`, found {:?}", tensor.name(), tensor.dtype())
            })?,
        };
        Ok(Scaling { scales: Scales { tensor, element, order, meaning }, groups })
    }

    /// The weight, whose every scale is finite.
    pub(super) fn weight(
        &self,
        codes: Codes,
        zeros: Option<ZeroPoints>,
        Scaling { scales, groups }: Scaling,
    ) -> Result<GridWeight, Fault> {
        let shape = [self.rows as u64, self.cols as u64];
        let weight = GridWeight { shape, codes, zeros, scales, groups, factor: None };
        for row in 0..self.rows {
            if let Some(group) =
                weight.groups_of_row(row).find(|&group| !weight.scales.at(row, group).is_finite())
            {
                let (scale, name) = (weight.scales.at(row, group), weight.scales.tensor.name());
                return Err(format!(
                    "expected finite scales in `{name}`, found {scale} in group {group} of row {row}"
                ));
            }
        }
        Ok(weight)
    }
}

fn listed(types: &[Dtype]) -> String {
    types.iter().map(|dtype| format!("{dtype:?}")).collect::<Vec<_>>().join(" or ")
}
