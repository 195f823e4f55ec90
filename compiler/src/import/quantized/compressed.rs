//! The configuration of compressed-tensors: groups of modules, each with the scheme of its weights.

use regex::RegexBuilder;
use samp_ir::Diagnostic;
use serde_json::Value;

use super::block_size::block_size;
use crate::import::json::Object;

/// Bytes that a compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Most groups, and most targets of one.
const MAX_TARGETS: usize = 1 << 16;

/// How the weights of some modules are stored.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::import) struct Scheme {
    targets: Vec<Target>,
    /// Bits of a code.
    pub(super) bits: usize,
    /// Whether codes are floats.
    pub(super) float: bool,
    /// Which weights share a scale.
    pub(super) sharing: Sharing,
}

/// Which weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// All, or those of a row: the scales' shape says which.
    TensorOrRow,
    /// So many columns of a row.
    Group(usize),
    /// So many rows and columns.
    Block([usize; 2]),
}

/// What a group is for.
#[derive(Clone, Debug)]
enum Target {
    /// Every linear.
    Linear,
    /// A module by its name, or other class.
    Name(String),
    /// Modules whose names begin with a match.
    Pattern(regex::Regex),
}

impl PartialEq for Target {
    fn eq(&self, other: &Target) -> bool {
        match (self, other) {
            (Target::Linear, Target::Linear) => true,
            (Target::Name(a), Target::Name(b)) => a == b,
            (Target::Pattern(a), Target::Pattern(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

/// The scheme of a module: of those that name it the first, else the first for all linears.
pub(super) fn scheme_of<'a>(schemes: &'a [Scheme], module: &str) -> Option<&'a Scheme> {
    let named = |target: &Target| match target {
        Target::Linear => false,
        Target::Name(name) => name == module,
        Target::Pattern(pattern) => pattern.is_match(module),
    };
    let is_for_all = |scheme: &&Scheme| scheme.targets.contains(&Target::Linear);
    schemes.iter().find(|scheme| scheme.targets.iter().any(named)).or_else(|| schemes.iter().find(is_for_all))
}

/// Formats of a group, and of a whole checkpoint.
const FORMATS: &[&str] = &[
    "pack-quantized",
    "int-quantized",
    "float-quantized",
    "naive-quantized",
    "nvfp4-pack-quantized",
    "mxfp4-pack-quantized",
];

/// The schemes of a configuration, in its order.
pub(super) fn schemes(mut keys: Object<'_>) -> Result<Vec<Scheme>, Diagnostic> {
    check_format(&mut keys, &[FORMATS, &["mixed-precision", "dense"]].concat())?;
    if let Some(found) = keys.text("quantization_status")?.filter(|found| found != "compressed") {
        return Err(keys.unsupported("quantization_status", "\"compressed\"", &found.into()));
    }
    let emptied = [
        ("sparsity_config", "no sparsity, because its values lie elsewhere than those of dense weights"),
        ("moe_sparsity_config", "no sparsity, because its values lie elsewhere than those of dense weights"),
        ("transform_config", "no transforms, because activations would have to be rotated at run time"),
    ];
    for (key, expected) in emptied {
        let Some(found) = keys.take(key) else { continue };
        let is_dense = found.get("format").is_some_and(|format| format == "dense");
        if !found.as_object().is_some_and(|map| map.is_empty()) && !is_dense {
            return Err(keys.unsupported(key, expected, &found));
        }
    }
    let groups = keys.object("config_groups")?;
    let mut groups =
        groups.ok_or_else(|| keys.missing("config_groups", "the groups of quantized modules"))?;
    let names = groups.keys();
    let schemes = names.iter().filter_map(|name| groups.object(name).transpose()).map(|group| scheme(group?));
    let schemes = schemes.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    const PASSED: &[&str] =
        &["global_compression_ratio", "ignore", "kv_cache_scheme", "quant_method", "version"];
    keys.finish(|key| PASSED.contains(&key))?;
    Ok(schemes)
}

fn check_format(keys: &mut Object<'_>, known: &[&str]) -> Result<(), Diagnostic> {
    match keys.text("format")? {
        Some(found) if !known.contains(&found.as_str()) => {
            let expected = format!("one of {}", known.join(", "));
            Err(keys.unsupported("format", &expected, &found.into()))
        }
        _ => Ok(()),
    }
}

/// A group's scheme; none of one that quantizes activations alone.
fn scheme(mut keys: Object<'_>) -> Result<Option<Scheme>, Diagnostic> {
    check_format(&mut keys, FORMATS)?;
    let targets = targets(&mut keys)?;
    let weights = keys.object("weights")?;
    keys.finish(|key| ["input_activations", "output_activations"].contains(&key))?;
    let Some(mut keys) = weights else { return Ok(None) };
    let bits = keys.integer("num_bits", 2..=8)?.ok_or_else(|| keys.missing("num_bits", "bits of a code"))?;
    let float = match keys.text("type")?.as_deref() {
        None | Some("int") => false,
        Some("float") if matches!(bits, 4 | 8) => true,
        Some(other) => {
            return Err(keys.unsupported("type", "\"int\", or \"float\" of 4 or 8 bits", &other.into()));
        }
    };
    if keys.flag("dynamic")? == Some(true) {
        return Err(keys.unsupported("dynamic", "false, because weights do not change", &true.into()));
    }
    let sharing = sharing(&mut keys)?;
    const PASSED: &[&str] =
        &["actorder", "observer", "observer_kwargs", "scale_dtype", "symmetric", "zp_dtype"];
    keys.finish(|key| PASSED.contains(&key))?;
    Ok(Some(Scheme { targets, bits: bits as usize, float, sharing }))
}

fn sharing(keys: &mut Object<'_>) -> Result<Sharing, Diagnostic> {
    let group = keys.take("group_size").and_then(|value| value.as_i64()).filter(|&size| size > 0);
    let block = keys.take("block_structure");
    let strategy = keys.text("strategy")?;
    Ok(match (strategy.as_deref(), group) {
        (Some("group" | "tensor_group"), Some(size)) | (None, Some(size)) => Sharing::Group(size as usize),
        (Some("tensor" | "channel") | None, _) => Sharing::TensorOrRow,
        (Some("block"), _) => {
            let block = block.unwrap_or_default();
            let size = block_size(&block);
            Sharing::Block(
                size.ok_or_else(|| keys.wrong("block_structure", "rows and columns of a block", &block))?,
            )
        }
        (Some(other), _) => {
            let expected = "tensor, channel, group with its size, tensor_group or block";
            return Err(keys.unsupported("strategy", expected, &other.into()));
        }
    })
}

fn targets(keys: &mut Object<'_>) -> Result<Vec<Target>, Diagnostic> {
    let value = keys.take("targets").unwrap_or_default();
    let list = value.as_array().filter(|list| list.len() <= MAX_TARGETS);
    let names = list.and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let names = names.ok_or_else(|| keys.wrong("targets", "a list of modules", &value))?;
    names
        .into_iter()
        .map(|name| match name.strip_prefix("re:") {
            None if name == "Linear" => Ok(Target::Linear),
            None => Ok(Target::Name(name.into())),
            Some(pattern) => {
                let anchored =
                    RegexBuilder::new(&format!("^(?:{pattern})")).size_limit(MAX_PATTERN_BYTES).build();
                anchored.map(Target::Pattern).map_err(|_| {
                    keys.unsupported("targets", "patterns that a finite automaton can match", &name.into())
                })
            }
        })
        .collect()
}
