//! Full pages by what is in them, so that sequences that begin alike compute the beginning once.
//!
//! A page is named by a BLAKE3 hash of its tokens and of the name of the page before it: equal names mean equal positions
//! from the first one on. The first page follows a hash of a salt, so that sequences of different salts share nothing.

use std::collections::{BTreeMap, HashMap};

use blake3::Hash;

/// The tokens of a sequence, and the names of its full pages.
#[derive(Clone, Debug)]
pub(crate) struct PageChain {
    page_tokens: usize,
    root: Hash,
    tokens: Vec<u32>,
    hashes: Vec<Hash>,
}

impl PageChain {
    /// Of an empty sequence.
    pub fn new(salt: &[u8], page_tokens: usize) -> PageChain {
        PageChain { page_tokens, root: blake3::hash(salt), tokens: vec![], hashes: vec![] }
    }

    /// Appends tokens, and names the pages that they fill.
    pub fn extend(&mut self, tokens: &[u32]) {
        self.tokens.extend(tokens);
        while let Some(page) = self.tokens[self.hashes.len() * self.page_tokens..].get(..self.page_tokens) {
            let mut hasher = blake3::Hasher::new();
            hasher.update(self.hashes.last().unwrap_or(&self.root).as_bytes());
            for token in page {
                hasher.update(&token.to_le_bytes());
            }
            self.hashes.push(hasher.finalize());
        }
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.tokens.truncate(len);
        self.hashes.truncate(len / self.page_tokens);
    }

    /// The names of the full pages.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// Which page has which name, and which of them no sequence holds.
#[derive(Debug, Default)]
pub(crate) struct PrefixIndex {
    pages: HashMap<Hash, u32>,
    names: HashMap<u32, Hash>,
    /// Pages that no sequence holds by when the last one let go.
    idle: BTreeMap<u64, u32>,
    idle_since: HashMap<u32, u64>,
    clock: u64,
}

impl PrefixIndex {
    /// The page of this name.
    pub fn find(&self, name: &Hash) -> Option<u32> {
        self.pages.get(name).copied()
    }

    /// Names a page that a sequence holds, unless it or another has the name.
    pub fn insert(&mut self, page: u32, name: Hash) {
        if !self.names.contains_key(&page) && !self.pages.contains_key(&name) {
            self.pages.insert(name, page);
            self.names.insert(page, name);
        }
    }

    /// Takes a page's name.
    pub fn forget(&mut self, page: u32) {
        if let Some(name) = self.names.remove(&page) {
            self.pages.remove(&name);
        }
        self.wake(page);
    }

    /// Keeps a page that no sequence holds any more; `false` if it has no name.
    pub fn rest(&mut self, page: u32) -> bool {
        let named = self.names.contains_key(&page);
        if named {
            self.clock += 1;
            self.idle.insert(self.clock, page);
            self.idle_since.insert(page, self.clock);
        }
        named
    }

    /// Counts a page as held.
    pub fn wake(&mut self, page: u32) {
        if let Some(since) = self.idle_since.remove(&page) {
            self.idle.remove(&since);
        }
    }

    /// The page that was held longest ago, which has no name any more.
    pub fn evict(&mut self) -> Option<u32> {
        let (_, &page) = self.idle.first_key_value()?;
        self.forget(page);
        Some(page)
    }

    /// Pages that no sequence holds.
    pub fn idle_pages(&self) -> usize {
        self.idle.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(salt: &[u8], tokens: &[u32]) -> Vec<Hash> {
        let mut chain = PageChain::new(salt, 2);
        tokens.iter().for_each(|token| chain.extend(&[*token]));
        chain.hashes().to_vec()
    }

    #[test]
    fn a_name_stands_for_all_positions_up_to_the_end_of_the_page() {
        let whole = names(b"", &[1, 2, 3, 4, 5]);
        assert_eq!(whole.len(), 2, "the last page is not full");
        assert_eq!(whole[..1], names(b"", &[1, 2]));
        assert_ne!(whole[1], names(b"", &[9, 2, 3, 4])[1], "another beginning");
        assert_ne!(whole[0], names(b"tenant", &[1, 2])[0], "another salt");
        let mut cut = PageChain::new(b"", 2);
        cut.extend(&[1, 2, 3, 4]);
        cut.truncate(3);
        cut.extend(&[9]);
        assert_eq!(cut.hashes(), names(b"", &[1, 2, 3, 9]));
    }
}
