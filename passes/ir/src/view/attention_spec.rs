//! What an attention op is told besides its operands.

/// Attributes of attention: which cache, which heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionSpec {
    /// The layer whose cache is used.
    pub layer: u64,
    /// Query heads; `kv_heads` divides them.
    pub heads: u64,
    /// Key/value heads; divides `heads`.
    pub kv_heads: u64,
    /// Width of a head.
    pub head_dim: u64,
    /// Channels of a head that are turned, the first ones; 0 for none.
    pub rotary_dim: u64,
    /// How many of the last positions are seen, the current one counted; 0 for all.
    pub window: u64,
}

impl AttentionSpec {
    /// Width of the queries and of the result.
    pub const fn q_width(self) -> u64 {
        self.heads.saturating_mul(self.head_dim)
    }

    /// Width of the keys, and of the values.
    pub const fn kv_width(self) -> u64 {
        self.kv_heads.saturating_mul(self.head_dim)
    }

    /// Width of queries, keys and values side by side.
    pub const fn qkv_width(self) -> u64 {
        self.q_width().saturating_add(self.kv_width().saturating_mul(2))
    }
}
