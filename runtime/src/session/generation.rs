//! A generation of a session: an iterator over tokens.

use std::{ops::ControlFlow, sync::Arc};

use super::{Session, SessionError};
use crate::{
    engine::Engine,
    generate::{Completion, Delta, Finish, Generated, Request},
    sequence_id::SequenceId,
    tokenizer::Tokenizer,
};

impl Session {
    /// Begins to generate in a sequence of its own; nothing is computed before the first token is asked for.
    pub fn stream(&self, request: Request) -> Result<Generation, SessionError> {
        let completion = Completion::new(self.tokenizer()?.clone(), self.plan().manifest(), request)?;
        let sequence = self.with_engine(Engine::create)??;
        Ok(Generation::new(self.clone(), completion, sequence))
    }

    /// Generates to the end; `on_delta` sees every token as it comes, on the caller's thread, and may break off.
    pub fn generate(
        &self,
        request: Request,
        mut on_delta: impl FnMut(&Delta) -> ControlFlow<()>,
    ) -> Result<Generated, SessionError> {
        let mut generation = self.stream(request)?;
        let mut text = String::new();
        let mut finish = None;
        while let Some(delta) = generation.next().transpose()? {
            text.push_str(&delta.text);
            if on_delta(&delta).is_break() {
                finish = Some(Finish::Cancelled);
                break;
            }
        }
        let finish = generation.finish().or(finish).unwrap_or(Finish::Cancelled);
        Ok(Generated { text, tokens: generation.tokens().to_vec(), finish })
    }
}

/// One request on its way through a [`Session`]: each `next` computes a token. May be moved to another thread, and may be
/// dropped at any time, which ends its sequence.
pub struct Generation {
    session: Session,
    completion: Completion<Arc<Tokenizer>>,
    sequence: Option<SequenceId>,
}

impl Generation {
    fn new(session: Session, completion: Completion<Arc<Tokenizer>>, sequence: SequenceId) -> Generation {
        Generation { session, completion, sequence: Some(sequence) }
    }

    /// The tokens that are continued.
    pub fn prompt(&self) -> &[u32] {
        self.completion.prompt()
    }

    /// The tokens generated so far.
    pub fn tokens(&self) -> &[u32] {
        self.completion.tokens()
    }

    /// Why it ended, once it has by itself.
    pub fn finish(&self) -> Option<Finish> {
        self.completion.finish()
    }

    /// Ends the sequence and gives its positions in the cache back. Nothing comes after it.
    pub fn close(&mut self) {
        if let Some(sequence) = self.sequence.take() {
            // A session that can no longer compute holds no positions either.
            let _ = self.session.with_engine(|engine| engine.release(sequence));
        }
    }

    fn step(&mut self, sequence: SequenceId) -> Result<Delta, SessionError> {
        let completion = &mut self.completion;
        Ok(self.session.with_engine(|engine: &mut Engine| completion.step(engine, sequence))??)
    }
}

impl Iterator for Generation {
    type Item = Result<Delta, SessionError>;

    /// The next token, or the error that ends it.
    fn next(&mut self) -> Option<Result<Delta, SessionError>> {
        let sequence = self.sequence.filter(|_| self.completion.finish().is_none())?;
        let delta = self.step(sequence);
        if delta.as_ref().map_or(true, |delta| delta.finish.is_some()) {
            self.close();
        }
        Some(delta)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.close();
    }
}
