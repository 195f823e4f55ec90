//! What the model makes of a token of a prompt.

/// A token of a prompt under the model: there is none for the first, which follows nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptToken {
    /// Its log-probability.
    pub logprob: f32,
    /// The likeliest tokens in its place with theirs.
    pub top: Vec<(u32, f32)>,
}
