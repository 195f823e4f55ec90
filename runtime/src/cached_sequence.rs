//! A sequence that outlives a request: a conversation computes only what each turn adds.

use std::ops::ControlFlow;

use crate::{
    engine::Engine,
    error::EngineError,
    generate::{Completion, Delta, GenerateError, Generated, Request, run},
    sequence_id::SequenceId,
    tokenizer::Tokenizer,
};

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

/// [`generate`] in a sequence that stays: the part of the prompt that it holds already is not computed again, and afterwards
/// it holds the prompt and the answer, but for the answer's last token.
pub fn generate_in(
    engine: &mut Engine,
    sequence: &mut CachedSequence,
    tokenizer: &Tokenizer,
    request: Request,
    on_delta: impl FnMut(&Delta) -> ControlFlow<()>,
) -> Result<Generated, GenerateError> {
    let completion = Completion::new(tokenizer, engine.plan().manifest(), request)?;
    run(engine, sequence, completion, on_delta)
}
