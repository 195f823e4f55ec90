//! Sequences that begin alike hold the same pages.

use super::{Engine, Sequence};
use crate::{error::EngineError, kv::PagePool, prefix_index::PageChain, sequence_id::SequenceId};

/// What the cache holds of a prompt already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedPrefix {
    /// Positions that need no computing: whole pages, and never the prompt's last token, whose logits are not kept.
    pub positions: usize,
    /// Pages of them that no sequence holds now: taking them leaves so many fewer free.
    pub idle_pages: usize,
}

impl Engine {
    /// Begins a sequence that is to continue `prompt` with the pages that the cache holds for the prompt's beginning; gives
    /// how many positions these are. What the sequence computes is found by later ones in turn, even when it has ended, as
    /// long as the room is not needed. Only sequences of equal `salt` share anything.
    ///
    /// On the CPU the pages hold the bits that computing the positions again would give.
    pub fn create_cached(&mut self, prompt: &[u32], salt: &[u8]) -> Result<(SequenceId, usize), EngineError> {
        let mut chain = self.chain(prompt, salt);
        let pages = self.pages.share(chain.hashes());
        let len = pages.len() * self.pages.page_tokens();
        chain.truncate(len);
        let id = self.begin(Sequence { len, pages, chain: Some(chain) })?;
        Ok((id, len))
    }

    /// What [`Engine::create_cached`] would find now.
    pub fn cached_prefix(&self, prompt: &[u32], salt: &[u8]) -> CachedPrefix {
        let (pages, idle_pages) = self.pages.shareable(self.chain(prompt, salt).hashes());
        CachedPrefix { positions: pages * self.pages.page_tokens(), idle_pages }
    }

    /// The pages of a prompt that may be shared: full ones before its last token.
    fn chain(&self, prompt: &[u32], salt: &[u8]) -> PageChain {
        let mut chain = PageChain::new(salt, self.pages.page_tokens());
        chain.extend(&prompt[..prompt.len().saturating_sub(1)]);
        chain
    }
}

impl Sequence {
    /// Makes the pages that `tokens`, just appended, have filled findable.
    pub(super) fn publish(&mut self, tokens: &[u32], pool: &mut PagePool) {
        let Some(chain) = &mut self.chain else { return };
        let before = chain.hashes().len();
        chain.extend(tokens);
        let filled = self.pages.iter().zip(chain.hashes()).skip(before);
        filled.for_each(|(page, hash)| pool.publish(*page, *hash));
    }
}
