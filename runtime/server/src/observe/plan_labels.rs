//! The plan in labels and logs.

/// What is known of the plan that is served, for labels and logs.
#[derive(Clone, Debug)]
pub struct PlanLabels {
    /// The name that it is served under.
    pub model: String,
    /// Its digest, 64 hex digits.
    pub digest: String,
    /// The formats of its weights, the most frequent first.
    pub quantization_level: String,
}
