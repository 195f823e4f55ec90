//! `certificate.json`: what is known of the plan's precision. Without calibration that is the assignment and its size;
//! nothing is claimed about quality that was not measured.

mod data_fingerprint;
mod pass_effect;
mod profile;
mod profile_file;
mod warning;

use std::collections::BTreeMap;

use samp_abi::{Format, Layout, plan::Version};
use samp_ir::Diagnostic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use data_fingerprint::{Fingerprint, StratumSize};
pub use pass_effect::{ErrorFactor, PassEffect};
pub use profile::{
    Divergence, HeadRange, InputStatistics, MemberProfile, PROFILE_VERSION, Profile, Sensitivity,
    WeightProfile, layer_of, tried_formats,
};
pub use profile_file::ProfileWriteError;
pub use warning::Warning;

use crate::lower::{PlanSpec, TensorSpec};

/// Version of the certificate's schema.
pub const CERTIFICATE_VERSION: Version = Version { major: 2, minor: 0, patch: 0 };

/// What is known of a plan's precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Version of this schema.
    pub schema: Version,
    /// What was measured; null where the formats follow a fixed recipe.
    pub quality: Option<QualityEvidence>,
    /// The recipe as given.
    pub recipe: String,
    /// Format of the KV cache.
    pub kv: Format,
    /// The linear layers inside the decoder: what bits per weight are usually compared over.
    pub decoder_linears: Size,
    /// Every tensor: embedding, head, norms and biases included.
    pub all_tensors: Size,
    /// The assignment, in the order of the plan's tensors.
    pub tensors: Vec<Assigned>,
    /// What the compile warned of; none before 2.0.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// How the formats were decided, and what the composed plan was found to lose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualityEvidence {
    /// The data that the weights were measured and rounded on.
    pub calibration: Fingerprint,
    /// The sensitivity of each weight to each format, with the fingerprint of what it was measured on.
    pub profile: Profile,
    /// What keeping keys and values in each format that was considered loses; those in f32 lose nothing.
    #[serde(default)]
    pub kv: Vec<CacheLoss>,
    /// Every solve with what its plan was then found to lose; the last is this plan.
    pub rounds: Vec<Round>,
    /// The plan on records that calibration did not see.
    pub held_out: HeldOut,
    /// The best uniform plan that is no larger, on the same records; null if none is.
    pub best_uniform: Option<Uniform>,
    /// Every uniform plan that was audited: all that are no larger and within the limits after exact measurements, the one
    /// with the least predicted loss after fast ones.
    #[serde(default)]
    pub uniforms: Vec<Uniform>,
    /// What each quality pass did to this plan, in their order; none before 1.4.
    #[serde(default)]
    pub effects: Vec<PassEffect>,
    /// BLAKE3 of all rounded weights, by name.
    pub rounded: String,
}

/// What the KV cache loses in one format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheLoss {
    /// The format.
    pub format: Format,
    /// The divergence of the unquantized model with its keys and values in this format, on the calibration records.
    pub divergence: Divergence,
}

/// One solve and its audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// What was asked for: the limits with what the solution spends of each.
    pub limits: Vec<String>,
    /// Loss by the sum of the measured sensitivities, nats per token.
    pub predicted_nats: f64,
    /// Proved: no assignment does better than this, by the same sum; null where something else was minimised.
    pub bound_nats: Option<f64>,
    /// Relative distance of what was minimised from what was proved to be its least.
    pub gap: f64,
    /// What each limit costs, in their order.
    #[serde(default)]
    pub prices: Vec<ShadowPrice>,
    /// Loss as then found on the held-out records, nats per token.
    pub audited_nats: f64,
    /// How many times the predicted loss of each stratum was found.
    #[serde(default)]
    pub factors: BTreeMap<String, f64>,
}

/// What a higher limit would buy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShadowPrice {
    /// What is limited.
    pub resource: String,
    /// By how much what was minimised changes per unit of the limit; at most 0. Units are bytes, bits, nanoseconds and
    /// nats per token.
    pub per_unit: f64,
    /// The same as a sentence.
    pub offer: String,
}

/// What held-out records say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// BLAKE3 of the records' tokens.
    pub fingerprint: String,
    /// All records.
    pub overall: StratumQuality,
    /// The records of each stratum.
    pub strata: BTreeMap<String, StratumQuality>,
}

/// The loss over some records. Bounds are one-sided and hold with 95 %: of records drawn alike, whose losses are no more
/// skewed than exponential ones, gamma with shape ½ or lognormal with σ = 1. They lie a number of standard errors above the
/// mean, which from 28 records on is Student's, and more where those show skewness, and from fewer is larger still: 55 from
/// 2 records, 6.9 from 5, 3.6 from 10. One record bounds nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StratumQuality {
    /// Records.
    pub records: usize,
    /// Predicted tokens.
    pub tokens: usize,
    /// `KL(unquantized ‖ plan)` in nats per token.
    pub kl_nats: f64,
    /// One-sided 95 % upper bound of it; null where there is none, from one record.
    pub kl_nats_at_most: Option<f64>,
    /// Perplexity of the plan over that of the unquantized model.
    pub perplexity_ratio: f64,
    /// One-sided 95 % upper bound of it; null where there is none, from one record.
    pub perplexity_ratio_at_most: Option<f64>,
}

impl StratumQuality {
    /// What the likelihood's logarithm loses at most, nats per token; infinite where there is no bound.
    pub(crate) fn loss_at_most(&self) -> f64 {
        self.perplexity_ratio_at_most.map_or(f64::INFINITY, f64::ln)
    }
}

/// A uniform plan to compare with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// The format of all decoder linears.
    pub format: Format,
    /// Bits per weight over the decoder's linears.
    pub bits_per_weight: f64,
    /// Loss on the held-out records in nats per token.
    pub kl_nats: f64,
}

/// How large some tensors are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Weights.
    pub weights: u64,
    /// Bytes with all scales, as stored.
    pub bytes: u64,
    /// `8 · bytes / weights`; 0 without weights.
    pub bits_per_weight: f64,
}

/// The format of one tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assigned {
    /// Name in the program.
    pub name: String,
    /// Number format.
    pub format: Format,
    /// Packed layout.
    pub layout: Layout,
    /// Its size.
    pub size: Size,
}

impl Size {
    fn new<'a>(tensors: impl IntoIterator<Item = &'a TensorSpec>) -> Size {
        let mut size = Size::default();
        for tensor in tensors {
            size.weights += tensor.elements();
            size.bytes += tensor.stored_bytes();
        }
        if size.weights > 0 {
            size.bits_per_weight = 8.0 * size.bytes as f64 / size.weights as f64;
        }
        size
    }
}

impl Certificate {
    /// The certificate of a plan, with what was measured and what was warned of.
    pub fn new(spec: &PlanSpec, quality: Option<&QualityEvidence>, warnings: &[Diagnostic]) -> Certificate {
        let linears = spec.decoder_linears();
        let assigned = |t: &TensorSpec| Assigned {
            name: t.name.clone(),
            format: t.format,
            layout: t.layout,
            size: Size::new([t]),
        };
        Certificate {
            schema: CERTIFICATE_VERSION,
            quality: quality.cloned(),
            recipe: spec.recipe.clone(),
            kv: spec.kv.format,
            decoder_linears: Size::new(spec.tensors.iter().zip(linears).filter_map(|(t, l)| l.then_some(t))),
            all_tensors: Size::new(&spec.tensors),
            tensors: spec.tensors.iter().map(assigned).collect(),
            warnings: warnings.iter().map(Warning::new).collect(),
        }
    }

    /// The text of `certificate.json`.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("finite numbers and string keys") + "\n"
    }
}
