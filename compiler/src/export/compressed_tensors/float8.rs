//! Codes of E4M3 with their scales, as they are.

use safetensors::Dtype;
use samp_abi::Component;
use samp_runtime::OpenPlan;

use super::super::{
    encoding::{OutputBytes, StoredPart},
    rows::{WeightRows, unpacked},
    weight::CheckpointWeight,
};
use crate::emit::EmitError;

pub(super) fn parts(weight: &CheckpointWeight, per_tensor: bool) -> Vec<StoredPart> {
    let rows = weight.shape[0];
    let scales: &[u64] = if per_tensor { &[1] } else { &[rows, 1] };
    vec![
        StoredPart::of(weight, "weight", Dtype::F8_E4M3, &weight.shape),
        StoredPart::of(weight, "weight_scale", Dtype::F32, scales),
    ]
}

pub(super) fn write(
    plan: &OpenPlan,
    weight: &CheckpointWeight,
    per_tensor: bool,
    out: &mut OutputBytes,
) -> Result<(), EmitError> {
    let tensors = unpacked(plan, weight);
    let rows = WeightRows::row_major(weight, &tensors);
    let mut scales = Vec::with_capacity(rows.rows);
    for row in 0..rows.rows {
        let (tensor, at) = rows.locate(row);
        out.put(&tensor.part(Component::Values)[at * rows.cols..][..rows.cols])?;
        let of_tensor: &[f32] = tensor.part_as(Component::Scales);
        scales.push(of_tensor.get(at).filter(|_| of_tensor.len() > 1).unwrap_or(&of_tensor[0]));
    }
    scales.truncate(if per_tensor { 1 } else { rows.rows });
    scales.into_iter().try_for_each(|scale| out.put(&scale.to_le_bytes()))
}
