//! What `quantization_config` says of a checkpoint in compressed-tensors: which modules have which scheme.

use std::collections::{BTreeMap, BTreeSet};

use samp_abi::plan::Plan;
use serde_json::{Value, json};

use super::{super::weight::CheckpointWeight, Scheme, Stored, stored};

/// Projections that vLLM computes as one, which need one scheme.
const FUSED: [&[&str]; 2] =
    [&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], &["mlp.gate_proj", "mlp.up_proj"]];

/// The configuration, and what readers should know.
pub(in super::super) fn describe(plan: &Plan, weights: &[&CheckpointWeight]) -> (Value, Vec<String>) {
    let scheme = |weight: &CheckpointWeight| match stored(plan, weight) {
        Ok(Stored::Coded(scheme)) => Some(scheme),
        _ => None,
    };
    let linears = weights.iter().filter(|weight| weight.is_linear());
    let modules: Vec<(&str, Option<Scheme>)> =
        linears.map(|weight| (weight.module(), scheme(weight))).collect();
    let of = |wanted: Option<Scheme>| {
        let names = modules.iter().filter(|(_, scheme)| *scheme == wanted).map(|(module, _)| *module);
        targets(&names.collect::<Vec<_>>(), &modules)
    };
    let schemes: BTreeSet<Scheme> = modules.iter().filter_map(|(_, scheme)| *scheme).collect();
    let formats: BTreeSet<&str> = schemes.iter().map(|scheme| scheme.format()).collect();
    let format = match (formats.first(), formats.len()) {
        (None, _) => "dense",
        (Some(one), 1) => one,
        _ => "mixed-precision",
    };
    let groups: serde_json::Map<String, Value> = schemes
        .iter()
        .enumerate()
        .map(|(index, scheme)| (format!("group_{index}"), scheme.describe(&of(Some(*scheme)))))
        .collect();
    let description = json!({
        "quant_method": "compressed-tensors",
        "format": format,
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": of(None),
        "kv_cache_scheme": null,
    });
    (description, notes(&modules))
}

impl Scheme {
    /// The name of how its arrays lie.
    fn format(self) -> &'static str {
        match self {
            Scheme::Float8 { .. } => "float-quantized",
            Scheme::Packed { .. } => "pack-quantized",
        }
    }

    /// A group of the configuration. Activations are not quantized.
    fn describe(self, targets: &[String]) -> Value {
        let (bits, kind, symmetric) = match self {
            Scheme::Float8 { .. } => (8, "float", true),
            Scheme::Packed { bits, zero_points, .. } => (bits, "int", !zero_points),
        };
        let (strategy, group) = match self {
            Scheme::Float8 { per_tensor: true } => ("tensor", None),
            Scheme::Float8 { per_tensor: false } | Scheme::Packed { group: None, .. } => ("channel", None),
            Scheme::Packed { group, .. } => ("group", group),
        };
        json!({
            "targets": targets,
            "format": self.format(),
            "weights": {
                "num_bits": bits, "type": kind, "symmetric": symmetric, "strategy": strategy, "group_size": group,
                "dynamic": false,
            },
            "input_activations": null,
            "output_activations": null,
        })
    }
}

/// A module's place in its layer, and the layer.
fn place(module: &str) -> Option<(&str, &str)> {
    let (layer, place) = module.strip_prefix("model.layers.")?.split_once('.')?;
    Some((place, layer))
}

/// Names and patterns of some modules, and of no others: a pattern for each place in a layer, which names the layers unless it
/// is all of them.
fn targets(modules: &[&str], all: &[(&str, Option<Scheme>)]) -> Vec<String> {
    let by_place = |names: &mut dyn Iterator<Item = &str>| {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (place, layer) in names.filter_map(place) {
            found.entry(place.into()).or_default().push(layer.into());
        }
        found
    };
    let (mut every, mut some) = (all.iter().map(|(module, _)| *module), modules.iter().copied());
    let (every, some) = (by_place(&mut every), by_place(&mut some));
    let pattern = |(place, layers): (&String, &Vec<String>)| {
        let place_pattern = place.replace('.', "\\.");
        match every[place].len() == layers.len() {
            true => format!("re:.*\\.{place_pattern}$"),
            false => format!("re:.*\\.layers\\.({})\\.{place_pattern}$", layers.join("|")),
        }
    };
    let named = modules.iter().filter(|module| place(module).is_none()).map(|module| (*module).to_owned());
    some.iter().map(pattern).chain(named).collect()
}

/// What readers should know of these schemes.
fn notes(modules: &[(&str, Option<Scheme>)]) -> Vec<String> {
    let scheme = |name: &str| modules.iter().find(|(module, _)| *module == name).map(|(_, scheme)| *scheme);
    let layers: Vec<&str> = modules
        .iter()
        .filter_map(|(module, _)| place(module))
        .filter(|(place, _)| *place == "self_attn.o_proj")
        .map(|(_, layer)| layer)
        .collect();
    let differs = |layer: &&&str| {
        FUSED.iter().any(|members| {
            let schemes: BTreeSet<_> = members
                .iter()
                .filter_map(|member| scheme(&format!("model.layers.{layer}.{member}")))
                .collect();
            schemes.len() > 1
        })
    };
    let split: Vec<&str> = layers.iter().filter(differs).copied().collect();
    let mut notes = vec![];
    if !split.is_empty() {
        notes.push(format!(
            "vLLM computes queries, keys and values as one, and gate and up, which takes one scheme for them; these differ in \
             layers {}: transformers reads them, vLLM does not",
            split.join(", ")
        ));
    }
    let is_odd = |scheme: &Option<Scheme>| matches!(scheme, Some(Scheme::Packed { bits: 5 | 6, .. }));
    if modules.iter().any(|(_, scheme)| is_odd(scheme)) {
        notes.push("codes of 5 and 6 bits are read by transformers and by new versions of vLLM alone".into());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_some_modules_and_no_others() {
        let names: Vec<String> = (0..3)
            .flat_map(|layer| {
                ["self_attn.q_proj", "mlp.up_proj"].map(|place| format!("model.layers.{layer}.{place}"))
            })
            .chain(["lm_head".into()])
            .collect();
        let all: Vec<(&str, Option<Scheme>)> = names.iter().map(|name| (name.as_str(), None)).collect();
        let found = targets(&[&names[0], &names[2], &names[4], &names[3], &names[6]], &all);
        let expected = [r"re:.*\.layers\.(1)\.mlp\.up_proj$", r"re:.*\.self_attn\.q_proj$", "lm_head"];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_vllm_does_not_take_is_said() {
        let packed = |bits| Some(Scheme::Packed { bits, group: Some(128), zero_points: false });
        let modules = |gate, up| {
            [
                ("model.layers.7.self_attn.o_proj", packed(4)),
                ("model.layers.7.mlp.gate_proj", gate),
                ("model.layers.7.mlp.up_proj", up),
            ]
        };
        assert!(notes(&modules(packed(4), packed(4))).is_empty());
        assert!(notes(&modules(packed(8), packed(4)))[0].contains("layers 7:"));
        assert!(notes(&modules(None, packed(4)))[0].contains("layers 7:"));
        assert!(notes(&modules(packed(5), packed(5)))[0].contains("5 and 6 bits"));
    }
}
