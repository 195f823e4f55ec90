//! The profile: what each format costs each weight, as measured. A file of its own, so that one measurement serves many
//! compiles and several machines can share the work.

use std::collections::BTreeMap;

use samp_abi::{Format, plan::Version};
use samp_ir::Diagnostic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the profile's schema.
pub const PROFILE_VERSION: Version = Version { major: 1, minor: 0, patch: 0 };

/// What was measured of a model on calibration data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Version of this schema.
    pub schema: Version,
    /// BLAKE3 over what the measurement depends on: the checkpoint's headers, the transforms and the tokens.
    pub fingerprint: String,
    /// How each weight was rounded.
    pub rounding: String,
    /// Tokens behind each output error.
    pub moment_tokens: u64,
    /// Predictions behind each divergence.
    pub divergence_tokens: u64,
    /// Every measured weight, in program order.
    pub weights: Vec<WeightProfile>,
}

/// One weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightProfile {
    /// Its name in the graph, such as `layers.0.self_attn.qkv_proj`.
    pub key: String,
    /// Output channels.
    pub rows: u64,
    /// Input channels.
    pub cols: u64,
    /// What its inputs look like; `None` for a table that no linear reads.
    pub inputs: Option<InputStatistics>,
    /// Each format that was tried.
    pub formats: Vec<Sensitivity>,
}

/// The inputs of a linear over the calibration tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputStatistics {
    /// Root mean square over all channels.
    pub rms: f64,
    /// Largest root mean square of a channel.
    pub largest_channel_rms: f64,
    /// Channels whose root mean square exceeds six times that of all.
    pub outlier_channels: Vec<u64>,
}

/// What one format costs one weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sensitivity {
    /// The format.
    pub format: Format,
    /// Squared error of the outputs over their energy.
    pub output_error: f64,
    /// Divergence of the whole model's predictions with only this weight in this format.
    pub divergence: Divergence,
}

/// `KL(original ‖ changed)` in nats per token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    /// Whether it was measured; otherwise it is scaled, by the output error, from a format that was.
    pub measured: bool,
    /// Over all records.
    pub nats: f64,
    /// Over the records of each stratum.
    pub strata: BTreeMap<String, f64>,
}

impl Divergence {
    /// The divergence of a format whose output error is `factor` times this one.
    pub fn scaled(&self, factor: f64) -> Divergence {
        let strata = self.strata.iter().map(|(name, nats)| (name.clone(), nats * factor)).collect();
        Divergence { measured: false, nats: self.nats * factor, strata }
    }
}

/// A profile is not what was expected.
pub const PROFILE: &str = "E1101";

impl Profile {
    /// A profile of nothing.
    pub fn empty() -> Profile {
        Profile {
            schema: PROFILE_VERSION,
            fingerprint: String::new(),
            rounding: String::new(),
            moment_tokens: 0,
            divergence_tokens: 0,
            weights: vec![],
        }
    }

    /// Reads a profile and checks its version.
    pub fn parse(text: &str, file: &str) -> Result<Profile, Diagnostic> {
        let refuse = |message: String| Diagnostic::bad_input(PROFILE, message).in_file(file);
        let profile: Profile =
            serde_json::from_str(text).map_err(|e| refuse(format!("not a profile: {e}")))?;
        if profile.schema.major != PROFILE_VERSION.major {
            let (expected, found) = (PROFILE_VERSION, profile.schema);
            return Err(refuse(format!("the profile's version: expected {expected}, found {found}"))
                .hint("measure again with this version of samp"));
        }
        Ok(profile)
    }

    /// The weights of several profiles of the same measurement, split by layers, in one; `order` are all keys in program
    /// order.
    pub fn merge(parts: Vec<Profile>) -> Result<Profile, Diagnostic> {
        let mut parts = parts.into_iter();
        let refuse = |message: String| Diagnostic::bad_input(PROFILE, message);
        let mut whole =
            parts.next().ok_or_else(|| refuse("expected a profile to merge, found none".into()))?;
        for part in parts {
            if part.fingerprint != whole.fingerprint {
                let (expected, found) = (&whole.fingerprint, &part.fingerprint);
                return Err(refuse(format!("the parts are of different measurements: {expected}, {found}"))
                    .hint("measure every part with the same model, data, seed and flags"));
            }
            for weight in part.weights {
                if whole.weights.iter().any(|known| known.key == weight.key) {
                    return Err(refuse(format!("`{}` stands in two parts", weight.key)));
                }
                whole.weights.push(weight);
            }
        }
        Ok(whole)
    }

    /// The sensitivity of a weight to a format.
    pub fn find(&self, key: &str, format: Format) -> Option<&Sensitivity> {
        let weight = self.weights.iter().find(|w| w.key == key)?;
        weight.formats.iter().find(|s| s.format == format)
    }
}
