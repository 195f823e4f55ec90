//! A sequence that outlives a request: a conversation computes only what each turn adds.

use crate::{engine::Engine, error::EngineError, sequence_id::SequenceId};

/// A sequence and the tokens that the cache holds for it, so that a conversation computes nothing twice.
///
/// It belongs to the engine that made it; [`Engine::release`] ends it.
#[derive(Debug)]
pub struct CachedSequence {
    id: SequenceId,
    tokens: Vec<u32>,
}

impl CachedSequence {
    /// An empty sequence of `engine`.
    pub fn new(engine: &mut Engine) -> Result<CachedSequence, EngineError> {
        Ok(CachedSequence { id: engine.create()?, tokens: vec![] })
    }

    /// Its sequence in the engine.
    pub fn id(&self) -> SequenceId {
        self.id
    }

    /// The tokens that the cache holds.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Forgets what `prompt` does not begin with; gives how many of its tokens need no more computing. The last always
    /// does: its logits are not kept.
    pub(crate) fn keep_beginning(
        &mut self,
        engine: &mut Engine,
        prompt: &[u32],
    ) -> Result<usize, EngineError> {
        let shared = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let kept = shared.min(prompt.len().saturating_sub(1));
        engine.truncate(self.id, kept)?;
        self.tokens.truncate(kept);
        Ok(kept)
    }

    /// Counts tokens as cached once the engine has appended them.
    pub(crate) fn appended(&mut self, tokens: &[u32]) {
        self.tokens.extend(tokens);
    }
}
