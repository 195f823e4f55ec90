//! The texts of special tokens, and where a text spells them.

use std::{collections::BTreeMap, ops::Range};

/// The special tokens of a vocabulary: what spells each, and its id.
#[derive(Default)]
pub(crate) struct SpecialVocabulary {
    /// By the first byte of the text, the longest text first.
    texts: BTreeMap<u8, Vec<(String, u32)>>,
}

impl SpecialVocabulary {
    /// The vocabulary of these texts and ids; a token without text is never spelled.
    pub fn new(tokens: impl IntoIterator<Item = (String, u32)>) -> SpecialVocabulary {
        let mut texts: BTreeMap<u8, Vec<(String, u32)>> = BTreeMap::new();
        for (text, id) in tokens {
            if let Some(&first) = text.as_bytes().first() {
                texts.entry(first).or_default().push((text, id));
            }
        }
        for list in texts.values_mut() {
            list.sort_by(|(a, i), (b, j)| b.len().cmp(&a.len()).then(a.cmp(b)).then(i.cmp(j)));
        }
        SpecialVocabulary { texts }
    }

    /// Every token: its text and its id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.texts.values().flatten().map(|(text, id)| (text.as_str(), *id))
    }

    /// The tokens that `text` begins with, the longest first.
    pub fn beginning(&self, text: &str) -> impl Iterator<Item = (&str, u32)> {
        let first = text.as_bytes().first().and_then(|byte| self.texts.get(byte));
        let tokens = first.into_iter().flatten().filter(move |(token, _)| text.starts_with(token.as_str()));
        tokens.map(|(token, id)| (token.as_str(), *id))
    }

    /// The leftmost, longest occurrences that do not overlap and that `counts`: their bytes, and the token's id.
    pub fn occurrences(&self, text: &str, counts: impl Fn(Range<usize>) -> bool) -> Vec<(Range<usize>, u32)> {
        let mut found: Vec<(Range<usize>, u32)> = vec![];
        for (at, _) in text.char_indices() {
            if found.last().is_some_and(|(last, _)| at < last.end) {
                continue;
            }
            let spelled = self.beginning(&text[at..]).map(|(token, id)| (at..at + token.len(), id));
            found.extend(spelled.into_iter().find(|(range, _)| counts(range.clone())));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leftmost_longest_occurrence_that_counts_is_found() {
        let tokens = [("<s>", 1), ("<s>>", 2), ("", 3)].map(|(text, id)| (text.to_owned(), id));
        let special = SpecialVocabulary::new(tokens);
        assert_eq!(special.iter().count(), 2);
        let text = "é<s>><s><";
        assert_eq!(special.occurrences(text, |_| true), [(2..6, 2), (6..9, 1)]);
        assert_eq!(special.occurrences(text, |range| !range.contains(&5)), [(2..5, 1), (6..9, 1)]);
        assert!(special.occurrences(text, |range| range.start > 6).is_empty());
    }
}
