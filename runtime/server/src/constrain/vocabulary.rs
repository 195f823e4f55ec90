//! The tokens of a vocabulary in the order of their bytes, so that those that begin alike are looked at once.

use samp_runtime::Tokenizer;

/// A token: where its bytes are, and how many of them the token before it begins with.
struct Entry {
    id: u32,
    start: usize,
    end: usize,
    shared: usize,
}

/// The tokens that may stand in a text: all but the special ones.
pub struct Vocabulary {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    words: usize,
}

impl Vocabulary {
    /// Of the ids below `size`.
    pub fn new(tokenizer: &Tokenizer, size: u32) -> Vocabulary {
        let text = |id: &u32| !tokenizer.is_special(*id);
        let spelled = (0..size).filter(text).filter_map(|id| Some((tokenizer.token_bytes(id)?, id)));
        Vocabulary::from_tokens(spelled.collect(), size)
    }

    fn from_tokens(mut tokens: Vec<(Vec<u8>, u32)>, size: u32) -> Vocabulary {
        tokens.retain(|(bytes, _)| !bytes.is_empty());
        tokens.sort();
        let (mut bytes, mut entries): (Vec<u8>, Vec<Entry>) = (vec![], vec![]);
        let mut previous: &[u8] = &[];
        for (token, id) in &tokens {
            let shared = previous.iter().zip(token).take_while(|(a, b)| a == b).count();
            let start = bytes.len();
            bytes.extend(token);
            entries.push(Entry { id: *id, start, end: bytes.len(), shared });
            previous = token;
        }
        Vocabulary { bytes, entries, words: (size as usize).div_ceil(32) }
    }

    /// Words of a mask.
    pub fn mask_words(&self) -> usize {
        self.words
    }

    /// Whether ids up to the mask's end have this one.
    pub fn has(&self, id: u32) -> bool {
        (id as usize) < 32 * self.words
    }

    /// Calls `allowed` for each token whose bytes lead somewhere from `start`: `next` says where a byte leads, or that it leads
    /// nowhere.
    pub fn walk<S: Copy, E>(
        &self,
        start: S,
        mut next: impl FnMut(S, u8) -> Result<Option<S>, E>,
        mut allowed: impl FnMut(u32),
    ) -> Result<(), E> {
        // States after each byte of the token at hand, as far as it leads anywhere.
        let mut states = vec![start];
        for entry in &self.entries {
            // The token before came no further than this one shares with it.
            if entry.shared >= states.len() {
                continue;
            }
            states.truncate(entry.shared + 1);
            let token = &self.bytes[entry.start..entry.end];
            for byte in &token[entry.shared..] {
                match next(states[states.len() - 1], *byte)? {
                    Some(state) => states.push(state),
                    None => break,
                }
            }
            if states.len() == token.len() + 1 {
                allowed(entry.id);
            }
        }
        Ok(())
    }

    /// The bytes of a token of a text; `None` of others.
    pub fn token(&self, tokenizer: &Tokenizer, id: u32) -> Option<Vec<u8>> {
        (!tokenizer.is_special(id)).then(|| tokenizer.token_bytes(id)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The walk finds the tokens that looking at each alone finds.
        #[test]
        fn tokens_are_found_as_if_each_were_looked_at_alone(
            tokens in prop::collection::vec(prop::collection::vec(0u8..3, 0..5), 0..40),
            paths in prop::collection::vec(prop::collection::vec(0u8..3, 0..5), 0..6),
        ) {
            let tokens: Vec<(Vec<u8>, u32)> = tokens.into_iter().zip(0..).collect();
            let vocabulary = Vocabulary::from_tokens(tokens.clone(), 40);
            // A state is the text so far; it leads somewhere while one of the paths begins so.
            let alive = |text: &[u8]| paths.iter().any(|path| path.starts_with(text));
            let mut texts: Vec<Vec<u8>> = vec![vec![]];
            let mut found = vec![];
            let next = |state: usize, byte: u8| {
                let text = [&texts[state][..], &[byte]].concat();
                Ok::<_, ()>(alive(&text).then(|| { texts.push(text); texts.len() - 1 }))
            };
            vocabulary.walk(0, next, |id| found.push(id)).unwrap();
            found.sort_unstable();
            let expected: Vec<u32> =
                tokens.iter().filter(|(bytes, _)| !bytes.is_empty() && alive(bytes)).map(|(_, id)| *id).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
