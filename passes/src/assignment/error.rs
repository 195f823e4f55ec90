//! What is wrong with a problem or a request, before anything is solved.

/// A malformed problem or request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A cost or a limit is NaN, infinite or absurdly large.
    #[error("{place}: expected a number of magnitude below 1e30, found {found}; measure it again")]
    NotANumber {
        /// Where it stands, e.g. ``loss of `nf4` in `layers.0.mlp.down_proj` ``.
        place: String,
        /// The number as it prints.
        found: String,
    },
    /// A candidate has not one loss per stratum or not one decode latency per batch.
    #[error("{place}: expected {expected} values, found {found}; the profile and its header disagree")]
    Length {
        /// Where.
        place: String,
        /// How many the problem declares.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A group has no candidate left to choose.
    #[error(
        "group `{group}` has no candidate: expected at least one, found {barred} that are barred; \
         measure a format for it or lift a bar"
    )]
    NoCandidate {
        /// The group's name.
        group: String,
        /// How many candidates it has that are barred.
        barred: usize,
    },
    /// Two groups have one name.
    #[error("group `{group}` appears twice; merge the two measurements into one")]
    Duplicate {
        /// The name.
        group: String,
    },
    /// A request names a stratum or a batch that the problem does not declare.
    #[error("the request names {what} number {index}, the problem declares {declared}")]
    Undeclared {
        /// `stratum` or `batch`.
        what: &'static str,
        /// The index in the request.
        index: usize,
        /// How many there are.
        declared: usize,
    },
    /// Stratum weights are negative or all zero.
    #[error("stratum weights must be at least 0 and not all 0, found {found:?}")]
    StratumWeights {
        /// The weights.
        found: Vec<f64>,
    },
    /// Average bits were asked of a problem without decoder weights.
    #[error("average bits need a decoder group with weights; the problem has none")]
    NoDecoderWeights,
    /// A composite group would have too many ways to choose its members' formats.
    #[error("group `{group}`: {found} undominated combinations of its members, at most {most}; offer fewer formats")]
    Combinations {
        /// The group's name.
        group: String,
        /// How many combinations there are.
        found: usize,
        /// The most that are accepted.
        most: usize,
    },
}
