//! The profile: what each format costs each weight, as measured. A file of its own, so that one measurement serves many
//! compiles and several machines can share the work.

use std::collections::BTreeMap;

use samp_abi::{Format, plan::Version};
use samp_ir::Diagnostic;
use samp_kernels::format::FP8_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error_code;

/// Version of the profile's schema.
pub const PROFILE_VERSION: Version = Version { major: 1, minor: 2, patch: 0 };

/// What was measured of a model on calibration data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Version of this schema.
    pub schema: Version,
    /// BLAKE3 of the checkpoint's tensors.
    pub model: String,
    /// BLAKE3 over all that the measurement depends on: the model, the transforms, the flags and the tokens.
    pub fingerprint: String,
    /// BLAKE3 of the tokens of all calibration records; null in profiles before 1.2.
    #[serde(default)]
    pub data: Option<String>,
    /// The quality passes that shaped the weights, such as `fold` and `rotate(7)`; null in profiles before 1.2.
    #[serde(default)]
    pub quality: Option<Vec<String>>,
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
    /// The members of a fused linear, in the order of their rows; none before 1.2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<MemberProfile>,
}

/// One member of a fused linear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberProfile {
    /// Its name by itself, such as `layers.0.self_attn.q_proj`.
    pub key: String,
    /// Output channels.
    pub rows: u64,
    /// Each format that was tried, with only this member in it.
    pub formats: Vec<Sensitivity>,
}

/// The inputs of a linear over the calibration tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputStatistics {
    /// Root mean square over all channels.
    pub rms: f64,
    /// Largest magnitude.
    #[serde(default)]
    pub absmax: f64,
    /// The scale that brings the largest magnitude to that of fp8 e4m3, 448.
    #[serde(default)]
    pub fp8_scale: f64,
    /// The scale that brings the largest magnitude to that of int8, 127.
    #[serde(default)]
    pub int8_scale: f64,
    /// Largest root mean square of a channel.
    pub largest_channel_rms: f64,
    /// Channels whose root mean square exceeds six times that of all.
    pub outlier_channels: Vec<u64>,
    /// The keys and values behind these inputs, by head; of the linear after attention alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<HeadRange>,
}

impl InputStatistics {
    /// The columns of the weight that read outlier channels, ascending.
    pub fn outlier_columns(&self) -> Vec<u32> {
        self.outlier_channels.iter().map(|&channel| channel as u32).collect()
    }
}

/// The formats that are tried on a weight where `formats` are asked for: int8 with outliers is plain int8 where there are
/// none. Each stands once.
pub fn tried_formats(formats: &[Format], outliers: bool) -> Vec<Format> {
    let mut tried: Vec<Format> = vec![];
    for &format in formats {
        let format = if format == Format::INT8_OUTLIERS && !outliers { Format::INT8 } else { format };
        if !tried.contains(&format) {
            tried.push(format);
        }
    }
    tried
}

/// How large the keys and values of one head are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadRange {
    /// The longest pair of channels that turn together: no position makes one of them larger.
    pub keys: f64,
    /// The largest magnitude of a value.
    pub values: f64,
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
    /// Whether it was measured; otherwise it is predicted by the gradients' second moment, or
    /// scaled, by the output error, from a format that was, or is a member's share of what the fused linear was measured to lose.
    pub measured: bool,
    /// Over all records.
    pub nats: f64,
    /// Over the records of each stratum.
    pub strata: BTreeMap<String, f64>,
}

impl WeightProfile {
    /// The columns that read outlier channels, ascending; none of a table.
    pub fn outlier_columns(&self) -> Vec<u32> {
        self.inputs.as_ref().map_or(vec![], InputStatistics::outlier_columns)
    }
}

impl Divergence {
    /// The divergence of nothing changed.
    pub fn none() -> Divergence {
        Divergence { measured: false, nats: 0.0, strata: BTreeMap::new() }
    }

    /// Both together, where losses add up.
    pub fn plus(mut self, other: &Divergence) -> Divergence {
        self.nats += other.nats;
        for (name, nats) in &other.strata {
            *self.strata.entry(name.clone()).or_default() += nats;
        }
        self
    }

    /// The divergence of a format whose output error is `factor` times this one.
    pub fn scaled(&self, factor: f64) -> Divergence {
        let strata = self.strata.iter().map(|(name, nats)| (name.clone(), nats * factor)).collect();
        Divergence { measured: false, nats: self.nats * factor, strata }
    }
}

impl Profile {
    /// A profile of nothing.
    pub fn empty() -> Profile {
        Profile {
            schema: PROFILE_VERSION,
            model: String::new(),
            fingerprint: String::new(),
            data: None,
            quality: None,
            rounding: String::new(),
            moment_tokens: 0,
            divergence_tokens: 0,
            weights: vec![],
        }
    }

    /// Reads a profile and checks its version.
    pub fn parse(text: &str, file: &str) -> Result<Profile, Diagnostic> {
        let refuse = |message: String| Diagnostic::bad_input(error_code::PROFILE, message).in_file(file);
        let profile: Profile =
            serde_json::from_str(text).map_err(|e| refuse(format!("not a profile: {e}")))?;
        if profile.schema.major != PROFILE_VERSION.major {
            let (expected, found) = (PROFILE_VERSION, profile.schema);
            return Err(refuse(format!("the profile's version: expected {expected}, found {found}"))
                .hint("measure again with this version of samp"));
        }
        Ok(profile)
    }

    /// The weights of several profiles of the same measurement, split by layers, in one, layer by layer.
    pub fn merge(parts: Vec<Profile>) -> Result<Profile, Diagnostic> {
        let mut parts = parts.into_iter();
        let refuse = |message: String| Diagnostic::bad_input(error_code::PROFILE, message);
        let mut merged =
            parts.next().ok_or_else(|| refuse("expected a profile to merge, found none".into()))?;
        for part in parts {
            if part.fingerprint != merged.fingerprint {
                let (expected, found) = (&merged.fingerprint, &part.fingerprint);
                return Err(refuse(format!("the parts are of different measurements: {expected}, {found}"))
                    .hint("measure every part with the same model, data, seed and flags"));
            }
            for weight in part.weights {
                if merged.weights.iter().any(|known| known.key == weight.key) {
                    return Err(refuse(format!("`{}` stands in two parts", weight.key)));
                }
                merged.weights.push(weight);
            }
        }
        merged.weights.sort_by_key(|weight| place(&weight.key));
        Ok(merged)
    }

    /// Keeps alone what is tried where these formats are asked for.
    pub fn keep(&mut self, formats: &[Format]) {
        for weight in &mut self.weights {
            let tried = tried_formats(formats, !weight.outlier_columns().is_empty());
            let keep = |known: &mut Vec<Sensitivity>| known.retain(|s| tried.contains(&s.format));
            keep(&mut weight.formats);
            weight.parts.iter_mut().for_each(|part| keep(&mut part.formats));
        }
    }

    /// Scales of fp8 keys and values for each layer; `None` unless every layer's were seen. Powers of two, which leave
    /// mantissas as they are, with room for twice the largest that was seen.
    pub fn kv_scales(&self, layers: u64) -> Option<Vec<[f32; 2]>> {
        let room = |largest: f64| 2.0 * largest.max(f64::MIN_POSITIVE) / f64::from(FP8_MAX);
        let scale = |largest: f64| room(largest).log2().ceil().exp2() as f32;
        let of = |layer: u64| {
            let mut inputs = self.weights.iter().filter(|w| layer_of(&w.key) == Some(layer));
            let heads = inputs.find_map(|w| w.inputs.as_ref().filter(|inputs| !inputs.heads.is_empty()))?;
            let most = |of: fn(&HeadRange) -> f64| heads.heads.iter().map(of).fold(0.0, f64::max);
            let scales = [most(|h| h.keys), most(|h| h.values)].map(scale);
            Some(scales.map(|scale| if scale.is_normal() { scale } else { 1.0 }))
        };
        (0..layers).map(of).collect()
    }

    /// The sensitivity of a weight, or of a member of one, to a format.
    pub fn find(&self, key: &str, format: Format) -> Option<&Sensitivity> {
        self.formats_of(key)?.iter().find(|s| s.format == format)
    }

    /// The weight of this name, or the one that the member of this name is of.
    pub fn weight_of(&self, key: &str) -> Option<&WeightProfile> {
        self.weights.iter().find(|w| w.key == key || w.parts.iter().any(|part| part.key == key))
    }

    /// What was measured of a weight, or of a member of one.
    pub fn formats_of(&self, key: &str) -> Option<&[Sensitivity]> {
        let weight = self.weight_of(key)?;
        let member = weight.parts.iter().find(|member| member.key == key);
        Some(member.map_or(&weight.formats, |member| &member.formats))
    }
}

/// The layer of a weight by its key; `None` of tables and the head, which belong to no layer.
pub fn layer_of(key: &str) -> Option<u64> {
    key.strip_prefix("layers.")?.split('.').next()?.parse().ok()
}

/// Where a weight stands in the program: tables, then the layers, then the head.
fn place(key: &str) -> (u8, u64) {
    match layer_of(key) {
        Some(layer) => (1, layer),
        None => (if key == "lm_head" { 2 } else { 0 }, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(fingerprint: &str, keys: &[&str]) -> Profile {
        let weight = |key: &&str| WeightProfile {
            key: (*key).into(),
            rows: 1,
            cols: 1,
            inputs: None,
            formats: vec![],
            parts: vec![],
        };
        Profile {
            fingerprint: fingerprint.into(),
            weights: keys.iter().map(weight).collect(),
            ..Profile::empty()
        }
    }

    #[test]
    fn parts_come_together_in_program_order() {
        let first = part("f", &["embed_tokens", "layers.0.b", "layers.0.a", "layers.2.a"]);
        let second = part("f", &["layers.10.a", "lm_head"]);
        let merged = Profile::merge(vec![second.clone(), first.clone()]).unwrap();
        let keys: Vec<&str> = merged.weights.iter().map(|w| w.key.as_str()).collect();
        assert_eq!(
            keys,
            ["embed_tokens", "layers.0.b", "layers.0.a", "layers.2.a", "layers.10.a", "lm_head"]
        );
        assert_eq!(merged, Profile::merge(vec![first, second]).unwrap());
    }

    #[test]
    fn cache_scales_leave_room_for_twice_what_was_seen() {
        let mut profile = part("f", &["layers.0.self_attn.o_proj", "layers.1.self_attn.o_proj"]);
        let head = |keys, values| HeadRange { keys, values };
        let inputs = |heads| InputStatistics {
            rms: 1.0,
            absmax: 1.0,
            fp8_scale: 1.0,
            int8_scale: 1.0,
            largest_channel_rms: 1.0,
            outlier_channels: vec![],
            heads,
        };
        profile.weights[0].inputs = Some(inputs(vec![head(10.0, 448.0), head(60.0, 1.0)]));
        assert_eq!(profile.kv_scales(2), None, "the second layer was not seen");
        profile.weights[1].inputs = Some(inputs(vec![head(0.0, 224.1)]));
        assert_eq!(profile.kv_scales(2), Some(vec![[0.5, 2.0], [1.0, 2.0]]));
    }

    #[test]
    fn parts_of_different_measurements_and_repeated_weights_are_refused() {
        let error = |parts| Profile::merge(parts).unwrap_err().to_string();
        assert!(error(vec![]).contains("none"));
        assert!(error(vec![part("f", &["a"]), part("g", &["b"])]).contains("different measurements"));
        assert!(error(vec![part("f", &["a"]), part("f", &["a"])]).contains("two parts"));
        let newer = serde_json::to_string(&part("f", &[])).unwrap().replace("1.2.0", "2.0.0");
        assert!(Profile::parse(&newer, "p.json").unwrap_err().to_string().contains("2.0.0"));
    }

    #[test]
    fn profiles_from_before_members_were_measured_are_read() {
        let mut profile = part("f", &["layers.0.a"]);
        profile.schema.minor = 1;
        let text = serde_json::to_string(&profile).unwrap();
        assert!(!text.contains("parts"), "{text}");
        assert_eq!(Profile::parse(&text, "p.json").unwrap(), profile);
    }

    #[test]
    fn files_are_written_in_one_step_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.json");
        let profile = part("f", &["layers.0.a"]);
        profile.write(&path).unwrap();
        assert_eq!(Profile::read(&path).unwrap(), profile);
        assert!(Profile::read(&dir.path().join("none.json")).is_err());
    }
}
