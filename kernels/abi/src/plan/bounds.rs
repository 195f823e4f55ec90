//! What the numbers of a plan are at most. Compiling and opening refuse by these same bounds, so that every plan that is made
//! opens.

use super::Limits;

/// Tokens in a step, and sequences alive at once.
pub const MAX_TOKENS: u64 = 1 << 24;
/// Any width of the model.
pub const MAX_WIDTH: u64 = 1 << 28;
/// Heads, layers, head widths and page sizes.
pub const MAX_COUNT: u64 = 1 << 16;
/// Vocabulary entries and positions.
pub const MAX_INDEX: u64 = 1 << 31;
/// Bytes of the activation arena.
pub const MAX_ARENA_BYTES: u64 = 1 << 42;

/// One of a plan's limits, which is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundedLimit {
    /// Its name in the manifest.
    pub name: &'static str,
    /// What it is.
    pub value: u64,
    /// What it may be at most.
    pub most: u64,
}

impl BoundedLimit {
    /// Whether it is what a plan may have.
    pub fn holds(&self) -> bool {
        (1..=self.most).contains(&self.value)
    }
}

impl Limits {
    /// Each limit with its bound.
    pub fn bounded(&self) -> [BoundedLimit; 3] {
        let limit = |name, value, most| BoundedLimit { name, value, most };
        [
            limit("max_tokens", self.max_tokens, MAX_TOKENS),
            limit("max_sequences", self.max_sequences, MAX_TOKENS),
            limit("max_context", self.max_context, MAX_INDEX),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_from_one_up_to_their_bound() {
        let most = Limits { max_tokens: MAX_TOKENS, max_sequences: MAX_TOKENS, max_context: MAX_INDEX };
        let holding = |limits: Limits| limits.bounded().map(|limit| limit.holds());
        assert_eq!(holding(most), [true; 3]);
        assert_eq!(holding(Limits { max_tokens: MAX_TOKENS + 1, ..most }), [false, true, true]);
        assert_eq!(holding(Limits { max_sequences: MAX_TOKENS + 1, ..most }), [true, false, true]);
        assert_eq!(holding(Limits { max_context: MAX_INDEX + 1, ..most }), [true, true, false]);
        assert_eq!(holding(Limits { max_tokens: 0, max_sequences: 0, max_context: 0 }), [false; 3]);
    }
}
