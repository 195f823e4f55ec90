//! Scales of keys and values that a checkpoint was calibrated with, for a cache in fp8.

use safetensors::Dtype;

use super::scales::{Element, element};
use crate::import::checkpoint::Checkpoint;

/// Where the scale of keys or of values of a layer lies: `{}` is `k` or `v`.
const NAMES: [&str; 3] =
    ["self_attn.{}_proj.{}_scale", "self_attn.{}_scale", "self_attn.{}_proj.output_scale"];

/// Whether a tensor is such a scale.
pub(super) fn is_kv_scale(name: &str) -> bool {
    let rest = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    rest.is_some_and(|(_, rest)| {
        ["k", "v"].iter().any(|of| NAMES.iter().any(|name| name.replace("{}", of) == rest))
    })
}

/// The scales of keys and of values of each layer, where every layer has both and they are positive numbers.
pub(in crate::import) fn kv_scales(checkpoint: &Checkpoint, layers: u64) -> Option<Vec<[f32; 2]>> {
    let scale = |layer: u64, of: &str| {
        let found = NAMES.iter().find_map(|name| {
            checkpoint.tensor(&format!("model.layers.{layer}.{}", name.replace("{}", of)))
        })?;
        let is_single = found.shape.iter().product::<u64>() == 1;
        let kind = Element::of(found.dtype).filter(|_| is_single && found.dtype != Dtype::U8)?;
        Some(element(kind, found.bytes, 0)).filter(|scale| scale.is_normal() && *scale > 0.0)
    };
    (0..layers).map(|layer| Some([scale(layer, "k")?, scale(layer, "v")?])).collect()
}
