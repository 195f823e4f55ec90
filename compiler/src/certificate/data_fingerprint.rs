//! What a certificate says of the data that its plan was calibrated on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Calibration data in short: two plans with the same fingerprint saw the same tokens in the same order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// BLAKE3 of the sampled records, each its number of tokens (u64) and its tokens (u32), little endian.
    pub tokens_blake3: String,
    /// What was sampled of each stratum.
    pub strata: BTreeMap<String, StratumSize>,
    /// Sampled records by length: the i-th number counts those of 2^i to 2^(i+1) − 1 tokens.
    pub lengths: Vec<u64>,
    /// BLAKE3 of the chat template; null where no sampled record is a conversation.
    pub chat_template_blake3: Option<String>,
    /// The part of the tokens that each stratum was to have: as declared, or the data's own.
    pub mix: BTreeMap<String, f64>,
    /// Seed of the sampling.
    pub seed: u64,
}

/// How much of a stratum was sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StratumSize {
    /// Records.
    pub records: u64,
    /// Tokens.
    pub tokens: u64,
}
