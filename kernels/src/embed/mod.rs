//! Embedding lookup.

use crate::{encoded::EncodedRef, registry::Kernel};

/// `out[t] = weight[token_ids[t]]`.
pub struct EmbedArgs<'a> {
    /// Token ids, each less than `weight.rows`.
    pub token_ids: &'a [u32],
    /// Table `[vocab, hidden]`, any format and layout.
    pub weight: EncodedRef<'a>,
    /// Result `[tokens, hidden]`.
    pub out: &'a mut [f32],
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[];
