//! Which layers attend to the last positions alone: `sliding_window`, and what each architecture reads beside it.

use samp_ir::Diagnostic;
use serde_json::Value;

use super::{
    dimensions::MAX_POSITIONS,
    family::{Family, WindowRule},
    json::{Object, assumed},
};
use crate::error_code;

const WINDOW: &str = "sliding_window";
const TYPES: &str = "layer_types";
const SLIDING: &str = "sliding_attention";
const FULL: &str = "full_attention";

/// The windows of all layers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Windows {
    /// Positions that a layer with a window sees; `None` where no layer has one.
    pub(super) length: Option<u64>,
    /// Layers that see every position all the same, ascending.
    pub(super) full_layers: Vec<u64>,
}

/// Takes every key that speaks of windows; `unturned` are the layers that turn neither queries nor keys. What is assumed or
/// passed over is a warning.
pub(super) fn windows(
    keys: &mut Object<'_>,
    family: &Family,
    (layers, unturned): (u64, &[u64]),
    warnings: &mut Vec<Diagnostic>,
) -> Result<Windows, Diagnostic> {
    match family.window {
        WindowRule::Ignored => {
            warnings.extend(ignored(keys)?);
            uniform(keys, None, layers)
        }
        WindowRule::Everywhere(default) => {
            let length = window_length(keys, default, warnings)?;
            uniform(keys, length, layers)
        }
        WindowRule::Listed(default) => {
            let length = window_length(keys, Some(default), warnings)?;
            differing(keys, length, layers, &|_| true)
        }
        WindowRule::Upper(default) => {
            let is_null = keys.peek(WINDOW).is_some_and(Value::is_null);
            let length = keys.integer(WINDOW, 1..=MAX_POSITIONS)?.or((!is_null).then_some(default));
            /// transformers' default, whatever the number of layers.
            const FULL_LAYERS: u64 = 28;
            let first = keys.integer("max_window_layers", 0..=u64::from(u32::MAX))?.unwrap_or(FULL_LAYERS);
            let asked = keys.flag("use_sliding_window")?.unwrap_or(false);
            differing(keys, length.filter(|_| asked), layers, &|layer| layer >= first)
        }
        WindowRule::Unturned => {
            let length = keys.integer(WINDOW, 1..=MAX_POSITIONS)?;
            let asked = keys.flag("use_sliding_window")?.unwrap_or(false);
            differing(keys, length.filter(|_| asked), layers, &|layer| unturned.contains(&layer))
        }
    }
}

/// The window that is stated, or the default where the key is missing, which is said.
fn window_length(
    keys: &mut Object<'_>,
    default: Option<u64>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Option<u64>, Diagnostic> {
    let is_null = keys.peek(WINDOW).is_some_and(Value::is_null);
    let stated = keys.integer(WINDOW, 1..=MAX_POSITIONS)?;
    let assumed_length = default.filter(|_| stated.is_none() && !is_null);
    warnings.extend(assumed_length.map(|length| assumed(WINDOW, length)));
    Ok(stated.or(assumed_length))
}

/// A window where the architecture has none, as transformers' Llama passes it over.
fn ignored(keys: &mut Object<'_>) -> Result<Option<Diagnostic>, Diagnostic> {
    let Some(window) = keys.integer(WINDOW, 1..=MAX_POSITIONS)? else { return Ok(None) };
    let message =
        format!("`{WINDOW}` = {window}: expected none, because the architecture attends to every position");
    let warning = Diagnostic::bad_input(error_code::IGNORED_KEY, message).warning();
    Ok(Some(warning.note("it is passed over, as transformers does")))
}

/// All layers alike; `layer_types` may say so again.
fn uniform(keys: &mut Object<'_>, length: Option<u64>, layers: u64) -> Result<Windows, Diagnostic> {
    let windows = Windows { length, full_layers: vec![] };
    let Some(types) = keys.take(TYPES) else { return Ok(windows) };
    let kind = if length.is_some() { SLIDING } else { FULL };
    let alike = |list: &Vec<Value>| list.len() as u64 == layers && list.iter().all(|found| found == kind);
    if types.as_array().is_some_and(alike) {
        return Ok(windows);
    }
    let expected = format!("\"{kind}\" for each of the {layers} layers, as `{WINDOW}` says");
    Err(keys.unsupported(TYPES, &expected, &types))
}

/// Layers may differ: those with a window are listed, or told by `has_window`.
fn differing(
    keys: &mut Object<'_>,
    length: Option<u64>,
    layers: u64,
    has_window: &dyn Fn(u64) -> bool,
) -> Result<Windows, Diagnostic> {
    if length.is_none() {
        return uniform(keys, None, layers);
    }
    let full_layers = match keys.take(TYPES) {
        None => (0..layers).filter(|&layer| !has_window(layer)).collect(),
        Some(types) => full_layers(keys, &types, layers)?,
    };
    let any = (full_layers.len() as u64) < layers;
    Ok(if any { Windows { length, full_layers } } else { Windows::default() })
}

/// The layers that `layer_types` gives no window.
fn full_layers(keys: &Object<'_>, types: &Value, layers: u64) -> Result<Vec<u64>, Diagnostic> {
    let known = |list: &&Vec<Value>| {
        list.len() as u64 == layers && list.iter().all(|kind| kind == SLIDING || kind == FULL)
    };
    let Some(list) = types.as_array().filter(known) else {
        let expected = format!("\"{SLIDING}\" or \"{FULL}\" for each of the {layers} layers");
        return Err(keys.unsupported(TYPES, &expected, types));
    };
    Ok((0..).zip(list).filter(|(_, kind)| *kind == FULL).map(|(layer, _)| layer).collect())
}
