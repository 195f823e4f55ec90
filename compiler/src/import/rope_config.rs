//! The rotary embedding in `config.json`: `rope_theta` and `rope_scaling`, or `rope_parameters` since transformers 5.

use samp_ir::Diagnostic;

use super::{
    dimensions::MAX_POSITIONS,
    json::Object,
    rope::{RopeConfig, RopeScaling},
};
use crate::error_code;

/// transformers' and the Llama paper's base.
const DEFAULT_THETA: f64 = 10_000.0;
const ORIGINAL_CONTEXT: &str = "original_max_position_embeddings";
/// What stands in the scaling of some kind, and says nothing to the others.
const OF_OTHER_KINDS: [&str; 13] = [
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "factor",
    "finetuned",
    "high_freq_factor",
    "long_factor",
    "low_freq_factor",
    "mscale",
    "mscale_all_dim",
    ORIGINAL_CONTEXT,
    "short_factor",
    "truncate",
];

/// What the scalings depend on beside their own keys.
#[derive(Clone, Copy)]
struct Surroundings {
    head_dim: u64,
    /// Positions that the model was first trained for, where a scaling does not say.
    original_context: u64,
}

/// Takes every rotary key of the config. Where something is said twice, transformers' choice counts: `rope_scaling` before
/// `rope_parameters`, and what stands in either before what stands outside; a difference is a warning.
pub(super) fn rope_config(
    keys: &mut Object<'_>,
    head_dim: u64,
    trained: u64,
    warnings: &mut Vec<Diagnostic>,
) -> Result<RopeConfig, Diagnostic> {
    let mut differ = |key: &str| {
        let message =
            format!("`{key}` is stated twice and differs: transformers' choice of the two is taken");
        warnings.push(Diagnostic::bad_input(error_code::IGNORED_KEY, message).warning());
    };
    let outer = theta(keys)?;
    let around = Surroundings {
        head_dim,
        original_context: keys.integer(ORIGINAL_CONTEXT, 1..=MAX_POSITIONS)?.unwrap_or(trained),
    };
    let mut stated = vec![];
    for key in ["rope_scaling", "rope_parameters"] {
        if let Some(nested) = keys.object(key)?.filter(|nested| !nested.is_empty()) {
            stated.push(scaling(nested, around)?);
        }
    }
    let mut stated = stated.into_iter();
    let Some((inner, scaling, unused)) = stated.next() else {
        return Ok(RopeConfig { theta: outer.unwrap_or(DEFAULT_THETA), scaling: RopeScaling::Default });
    };
    if stated
        .next()
        .is_some_and(|(other, also, _)| also != scaling || other.is_some_and(|o| inner != Some(o)))
    {
        differ("rope_scaling");
    }
    if let (Some(inner), Some(outer)) = (inner, outer)
        && inner != outer
    {
        differ("rope_theta");
    }
    if !unused.is_empty() {
        let message = format!("the rotary embedding has no use for {}", unused.join(", "));
        warnings.push(Diagnostic::bad_input(error_code::IGNORED_KEY, message).warning());
    }
    Ok(RopeConfig { theta: inner.or(outer).unwrap_or(DEFAULT_THETA), scaling })
}

fn theta(keys: &mut Object<'_>) -> Result<Option<f64>, Diagnostic> {
    keys.number("rope_theta", "a number from 1 to 1e30", |x| (1.0..=1e30).contains(&x))
}

/// The base and the scaling of one object, and the keys of other kinds that stand beside them.
fn scaling(
    mut keys: Object<'_>,
    around: Surroundings,
) -> Result<(Option<f64>, RopeScaling, Vec<String>), Diagnostic> {
    let theta = theta(&mut keys)?;
    let (key, kind) = kind(&mut keys)?;
    keys.number("partial_rotary_factor", "1", |x| x == 1.0)?;
    let scaling = match kind.as_str() {
        "default" => RopeScaling::Default,
        "linear" => RopeScaling::Linear { factor: factor(&mut keys)? },
        // The exponent head_dim / (head_dim − 2) has no value for a single pair.
        "dynamic" if around.head_dim > 2 => RopeScaling::Dynamic { factor: factor(&mut keys)? },
        "llama3" => llama3(&mut keys, around)?,
        _ => {
            let expected = "\"default\", \"linear\", \"dynamic\" (with head_dim above 2) or \"llama3\"";
            return Err(keys.unsupported(key, expected, &kind.into()));
        }
    };
    // Where the model was trained says nothing to scalings that do not ask, and stands beside many of them.
    let unused = OF_OTHER_KINDS.iter().filter(|key| keys.take(key).is_some() && **key != ORIGINAL_CONTEXT);
    let unused = unused.map(|key| format!("`{key}`")).collect();
    keys.finish(|_| false)?;
    Ok((theta, scaling, unused))
}

/// `rope_type`, or `type` as it was first called: which of the two keys, and its value.
fn kind(keys: &mut Object<'_>) -> Result<(&'static str, String), Diagnostic> {
    match (keys.text("rope_type")?, keys.text("type")?) {
        (Some(new), Some(old)) if new != old => {
            Err(keys.wrong("type", &format!("\"{new}\", as `rope_type` says"), &old.into()))
        }
        (Some(kind), _) => Ok(("rope_type", kind)),
        (None, Some(kind)) => Ok(("type", kind)),
        (None, None) => Ok(("rope_type", "default".into())),
    }
}

fn factor(keys: &mut Object<'_>) -> Result<f64, Diagnostic> {
    required(keys, "factor", "a number from 1 to 1e6", |x| (1.0..=1e6).contains(&x))
}

fn llama3(keys: &mut Object<'_>, around: Surroundings) -> Result<RopeScaling, Diagnostic> {
    const POSITIVE: &str = "a number above 0 and up to 1e6";
    let positive = |x: f64| x > 0.0 && x <= 1e6;
    let low_freq_factor = required(keys, "low_freq_factor", POSITIVE, positive)?;
    let high_freq_factor = required(keys, "high_freq_factor", POSITIVE, positive)?;
    if high_freq_factor <= low_freq_factor {
        let expected = format!("a number above low_freq_factor = {low_freq_factor}");
        return Err(keys.wrong("high_freq_factor", &expected, &high_freq_factor.into()));
    }
    let original_context =
        keys.integer(ORIGINAL_CONTEXT, 1..=MAX_POSITIONS)?.unwrap_or(around.original_context);
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
