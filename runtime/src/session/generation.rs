//! A generation of a session: an iterator over tokens.

use std::sync::Arc;

use super::{Session, SessionError};
use crate::{
    engine::Engine,
    generate::{Completion, Delta, Finish},
    sequence_id::SequenceId,
    tokenizer::Tokenizer,
};

/// One request on its way through a [`Session`]: each `next` computes a token. May be moved to another thread, and may be
/// dropped at any time, which ends its sequence.
pub struct Generation {
    session: Session,
    completion: Completion<Arc<Tokenizer>>,
    sequence: Option<SequenceId>,
}

impl Generation {
    pub(super) fn new(
        session: Session,
        completion: Completion<Arc<Tokenizer>>,
        sequence: SequenceId,
    ) -> Generation {
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
