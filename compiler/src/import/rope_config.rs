//! The rotary embedding in `config.json`: `rope_theta` and `rope_scaling`, or `rope_parameters` since transformers 5.

use samp_ir::Diagnostic;

use super::{
    dimensions::MAX_POSITIONS,
    family::{Family, RopeRule},
    json::Object,
    rope::{RopeConfig, RopeScaling},
};
use crate::error_code;

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

/// Positions that Phi-3 was first trained for.
const PHI3_CONTEXT: u64 = 4096;
const PARTIAL: &str = "partial_rotary_factor";

/// What the scalings depend on beside their own keys.
#[derive(Clone, Copy)]
struct Surroundings {
    rule: RopeRule,
    head_dim: u64,
    /// Positions that the model is trained for.
    trained: u64,
    /// Positions that it was first trained for, where a scaling does not say.
    original_context: u64,
    /// The part of a head that is turned, where a scaling does not say.
    partial: f64,
}

/// One object of rotary keys.
struct Stated {
    theta: Option<f64>,
    partial: f64,
    scaling: RopeScaling,
    /// Keys of other kinds that stand beside those of this one.
    unused: Vec<String>,
}

/// Takes every rotary key of the config. Where something is said twice, transformers' choice counts: `rope_scaling` before
/// `rope_parameters`, and what stands in either before what stands outside; a difference is a warning.
pub(super) fn rope_config(
    keys: &mut Object<'_>,
    family: &Family,
    (head_dim, trained): (u64, u64),
    warnings: &mut Vec<Diagnostic>,
) -> Result<RopeConfig, Diagnostic> {
    let mut differ = |key: &str| {
        let message =
            format!("`{key}` is stated twice and differs: transformers' choice of the two is taken");
        warnings.push(Diagnostic::bad_input(error_code::IGNORED_KEY, message).warning());
    };
    let (rule, outer) = (family.rope, theta(keys)?);
    let first = if rule == RopeRule::Phi3 { PHI3_CONTEXT } else { trained };
    let original_context = keys.integer(ORIGINAL_CONTEXT, 1..=MAX_POSITIONS)?.unwrap_or(first);
    let partial = partial(keys, rule)?.unwrap_or(1.0);
    let around = Surroundings { rule, head_dim, trained, original_context, partial };
    let mut stated = vec![];
    for key in ["rope_scaling", "rope_parameters"] {
        if let Some(nested) = keys.object(key)?.filter(|nested| !nested.is_empty()) {
            stated.push(scaling(nested, around)?);
        }
    }
    let mut stated = stated.into_iter();
    let Some(inner) = stated.next() else {
        let (dim, theta) = (turned(partial, head_dim), outer.unwrap_or(family.theta));
        return Ok(RopeConfig { dim, theta, scaling: RopeScaling::Default });
    };
    let differs = |other: Stated| {
        other.scaling != inner.scaling || other.theta.is_some_and(|theta| inner.theta != Some(theta))
    };
    if stated.next().is_some_and(differs) {
        differ("rope_scaling");
    }
    if let (Some(inner), Some(outer)) = (inner.theta, outer)
        && inner != outer
    {
        differ("rope_theta");
    }
    if !inner.unused.is_empty() {
        let message = format!("the rotary embedding has no use for {}", inner.unused.join(", "));
        warnings.push(Diagnostic::bad_input(error_code::IGNORED_KEY, message).warning());
    }
    let theta = inner.theta.or(outer).unwrap_or(family.theta);
    if matches!(inner.scaling, RopeScaling::Yarn { .. }) && theta <= 1.0 {
        return Err(keys.wrong(
            "rope_theta",
            "a number above 1, which YaRN takes the logarithm of",
            &theta.into(),
        ));
    }
    Ok(RopeConfig { dim: turned(inner.partial, head_dim), theta, scaling: inner.scaling })
}

fn theta(keys: &mut Object<'_>) -> Result<Option<f64>, Diagnostic> {
    keys.number("rope_theta", "a number from 1 to 1e30", |x| (1.0..=1e30).contains(&x))
}

/// The part of a head that is turned: all of it, unless the architecture asks.
fn partial(keys: &mut Object<'_>, rule: RopeRule) -> Result<Option<f64>, Diagnostic> {
    let found = keys.peek(PARTIAL).cloned();
    let partial = keys.number(PARTIAL, "a number above 0 and up to 1", |x| x > 0.0 && x <= 1.0)?;
    match (rule, partial, found) {
        (RopeRule::Whole, Some(partial), Some(found)) if partial != 1.0 => {
            Err(keys.unsupported(PARTIAL, "1.0", &found))
        }
        _ => Ok(partial),
    }
}

/// Channels of a head that are turned: whole ones, at least a pair.
fn turned(partial: f64, head_dim: u64) -> u64 {
    ((head_dim as f64 * partial) as u64).max(2)
}

/// One object of rotary keys.
fn scaling(mut keys: Object<'_>, around: Surroundings) -> Result<Stated, Diagnostic> {
    let theta = theta(&mut keys)?;
    let (key, kind) = kind(&mut keys)?;
    let partial = partial(&mut keys, around.rule)?.unwrap_or(around.partial);
    let scaling = match (kind.as_str(), around.rule) {
        ("default", _) => RopeScaling::Default,
        ("longrope", _) | ("su" | "yarn", RopeRule::Phi3) => longrope(&mut keys, around, partial)?,
        ("linear", RopeRule::Whole) => RopeScaling::Linear { factor: factor(&mut keys)? },
        // The exponent head_dim / (head_dim − 2) has no value for a single pair.
        ("dynamic", RopeRule::Whole) if around.head_dim > 2 => {
            RopeScaling::Dynamic { factor: factor(&mut keys)? }
        }
        ("llama3", RopeRule::Whole) => llama3(&mut keys, around)?,
        ("yarn", RopeRule::Whole) => yarn(&mut keys, around)?,
        (_, RopeRule::Whole) => {
            let expected = "\"default\", \"linear\", \"dynamic\" (with head_dim above 2), \"llama3\", \"yarn\" or \"longrope\"";
            return Err(keys.unsupported(key, expected, &kind.into()));
        }
        (_, RopeRule::Phi3) => {
            return Err(keys.unsupported(key, "\"default\" or \"longrope\"", &kind.into()));
        }
    };
    // Where the model was trained says nothing to scalings that do not ask, and stands beside many of them.
    let unused = OF_OTHER_KINDS.iter().filter(|key| keys.take(key).is_some() && **key != ORIGINAL_CONTEXT);
    let unused = unused.map(|key| format!("`{key}`")).collect();
    keys.finish(|_| false)?;
    Ok(Stated { theta, partial, scaling, unused })
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
    let original_context = original_context(keys, around)?;
    Ok(RopeScaling::Llama3 { factor: factor(keys)?, low_freq_factor, high_freq_factor, original_context })
}

fn yarn(keys: &mut Object<'_>, around: Surroundings) -> Result<RopeScaling, Diagnostic> {
    const POSITIVE: &str = "a number above 0 and up to 1e6";
    let positive = |x: f64| x > 0.0 && x <= 1e6;
    // A beta of 0 is transformers' default, as one that is missing.
    let beta = |keys: &mut Object<'_>, key: &str, default: f64| {
        let found = keys.number(key, "a number from 0 to 1e6", |x| (0.0..=1e6).contains(&x))?;
        Ok::<f64, Diagnostic>(found.filter(|&beta| beta > 0.0).unwrap_or(default))
    };
    let factor = factor(keys)?;
    let [mscale, all_dim] = ["mscale", "mscale_all_dim"]
        .map(|key| keys.number(key, "a number from 0 to 1e6", |x| (0.0..=1e6).contains(&x)));
    let magnitude = |mscale: f64| 0.1 * mscale * factor.ln() + 1.0;
    let usual = match (mscale?, all_dim?) {
        (Some(mscale), Some(all_dim)) if mscale > 0.0 && all_dim > 0.0 => {
            magnitude(mscale) / magnitude(all_dim)
        }
        _ => magnitude(1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        attention_factor: keys.number("attention_factor", POSITIVE, positive)?.unwrap_or(usual),
        beta_fast: beta(keys, "beta_fast", 32.0)?,
        beta_slow: beta(keys, "beta_slow", 1.0)?,
        truncate: keys.flag("truncate")?.unwrap_or(true),
        original_context: original_context(keys, around)?,
    })
}

fn longrope(keys: &mut Object<'_>, around: Surroundings, partial: f64) -> Result<RopeScaling, Diagnostic> {
    let pairs = turned(partial, around.head_dim).div_ceil(2) as usize;
    let original_context = original_context(keys, around)?;
    let stretch = keys.number("factor", "a number above 0 and up to 1e6", |x| x > 0.0 && x <= 1e6)?;
    let stretch = stretch.unwrap_or(around.trained as f64 / original_context as f64);
    let usual = match stretch > 1.0 {
        true => (1.0 + stretch.ln() / (original_context.max(2) as f64).ln()).sqrt(),
        false => 1.0,
    };
    let attention_factor = keys
        .number("attention_factor", "a number above 0 and up to 1e6", |x| x > 0.0 && x <= 1e6)?
        .unwrap_or(usual);
    let [short, long] = ["short_factor", "long_factor"].map(|key| keys.numbers(key, pairs, (1e-6, 1e6)));
    Ok(RopeScaling::LongRope { short: short?, long: long?, attention_factor, original_context })
}

/// Positions that the model was first trained for; what Phi-3 says outside counts more.
fn original_context(keys: &mut Object<'_>, around: Surroundings) -> Result<u64, Diagnostic> {
    let inner = keys.integer(ORIGINAL_CONTEXT, 1..=MAX_POSITIONS)?;
    Ok(inner.filter(|_| around.rule == RopeRule::Whole).unwrap_or(around.original_context))
}

fn required(
    keys: &mut Object<'_>,
    key: &str,
    expected: &str,
    accepts: impl Fn(f64) -> bool,
) -> Result<f64, Diagnostic> {
    keys.number(key, expected, accepts)?.ok_or_else(|| keys.missing(key, expected))
}
