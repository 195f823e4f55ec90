//! The rotary embedding in `config.json`: `rope_theta` and `rope_scaling`, or `rope_parameters` since transformers 5.

use samp_ir::Diagnostic;

use super::{
    dimensions::MAX_POSITIONS,
    json::Object,
    rope::{RopeConfig, RopeScaling},
};

/// transformers' and the Llama paper's base.
const DEFAULT_THETA: f64 = 10_000.0;

/// Takes every rotary key of the config. What is said twice must agree.
pub(super) fn rope_config(keys: &mut Object<'_>, head_dim: u64) -> Result<RopeConfig, Diagnostic> {
    let mut theta = theta(keys)?;
    let mut scaling = None;
    for key in ["rope_scaling", "rope_parameters"] {
        let stated = keys.peek(key).cloned().unwrap_or_default();
        let Some(mut nested) = keys.object(key)? else { continue };
        if let Some(found) = self::theta(&mut nested)? {
            if theta.is_some_and(|outer| outer != found) {
                return Err(nested.wrong("rope_theta", "the same as `rope_theta` elsewhere", &found.into()));
            }
            theta = Some(found);
        }
        let found = rope_scaling(nested, head_dim)?;
        if scaling.is_some_and(|earlier| earlier != found) {
            return Err(keys.wrong(key, "the same as `rope_scaling`", &stated));
        }
        scaling = Some(found);
    }
    Ok(RopeConfig { theta: theta.unwrap_or(DEFAULT_THETA), scaling: scaling.unwrap_or(RopeScaling::Default) })
}

fn theta(keys: &mut Object<'_>) -> Result<Option<f64>, Diagnostic> {
    keys.number("rope_theta", "a number from 1 to 1e30", |x| (1.0..=1e30).contains(&x))
}

fn rope_scaling(mut keys: Object<'_>, head_dim: u64) -> Result<RopeScaling, Diagnostic> {
    let (key, kind) = kind(&mut keys)?;
    keys.number("partial_rotary_factor", "1", |x| x == 1.0)?;
    let scaling = match kind.as_str() {
        "default" => RopeScaling::Default,
        "linear" => RopeScaling::Linear { factor: factor(&mut keys)? },
        // The exponent head_dim / (head_dim − 2) has no value for a single pair.
        "dynamic" if head_dim > 2 => RopeScaling::Dynamic { factor: factor(&mut keys)? },
        "llama3" => llama3(&mut keys)?,
        _ => {
            let expected = "\"default\", \"linear\", \"dynamic\" (with head_dim above 2) or \"llama3\"";
            return Err(keys.unsupported(key, expected, &kind.into()));
        }
    };
    keys.finish(|_| false)?;
    Ok(scaling)
}

/// `rope_type`, or `type` as it was first called: which of the two keys, and its value.
fn kind(keys: &mut Object<'_>) -> Result<(&'static str, String), Diagnostic> {
    match (keys.text("rope_type")?, keys.text("type")?) {
        (Some(new), Some(old)) if new != old => {
            Err(keys.wrong("type", &format!("\"{new}\", as `rope_type` says"), &old.into()))
        }
        (Some(kind), _) => Ok(("rope_type", kind)),
        (None, Some(kind)) => Ok(("type", kind)),
        // Then only `rope_theta` may stand beside it: any other key is left over and refused.
        (None, None) => Ok(("rope_type", "default".into())),
    }
}

fn factor(keys: &mut Object<'_>) -> Result<f64, Diagnostic> {
    required(keys, "factor", "a number from 1 to 1e6", |x| (1.0..=1e6).contains(&x))
}

fn llama3(keys: &mut Object<'_>) -> Result<RopeScaling, Diagnostic> {
    const POSITIVE: &str = "a number above 0 and up to 1e6";
    let positive = |x: f64| x > 0.0 && x <= 1e6;
    let low_freq_factor = required(keys, "low_freq_factor", POSITIVE, positive)?;
    let high_freq_factor = required(keys, "high_freq_factor", POSITIVE, positive)?;
    if high_freq_factor <= low_freq_factor {
        let expected = format!("a number above low_freq_factor = {low_freq_factor}");
        return Err(keys.wrong("high_freq_factor", &expected, &high_freq_factor.into()));
    }
    const CONTEXT: &str = "original_max_position_embeddings";
    let original_context = keys
        .integer(CONTEXT, 1..=MAX_POSITIONS)?
        .ok_or_else(|| keys.missing(CONTEXT, "the positions that the model was first trained for"))?;
    Ok(RopeScaling::Llama3 { factor: factor(keys)?, low_freq_factor, high_freq_factor, original_context })
}

fn required(
    keys: &mut Object<'_>,
    key: &str,
    expected: &str,
    accepts: impl Fn(f64) -> bool,
) -> Result<f64, Diagnostic> {
    keys.number(key, expected, accepts)?.ok_or_else(|| keys.missing(key, expected))
}
