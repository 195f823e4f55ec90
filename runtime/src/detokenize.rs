//! Text from tokens one at a time: never half a character, never a word taken back.
//!
//! A character may take several tokens: bytes of a byte-level vocabulary, or the byte tokens (`<0xE4>`) that
//! SentencePiece models fall back to. Its bytes are held back until it is whole, so that no piece ends in half a UTF-8
//! character. Where the text ends before that, [`Detokenizer::finish`] gives what decoding all tokens at once gives:
//! U+FFFD for the incomplete bytes, one for each where they are byte tokens.

use std::ops::Deref;

use crate::tokenizer::{SpecialTokens, Tokenizer, TokenizerError};

/// Tokens kept as context. A character has at most four bytes and a token at least one, so that what eight tokens
/// end in does not depend on those before.
const CONTEXT_TOKENS: usize = 8;

/// Turns a stream of tokens into a stream of text whose pieces, joined, are the decoding of all tokens at once.
/// `T` is how it holds the tokenizer: `&Tokenizer` or `Arc<Tokenizer>`.
pub struct Detokenizer<T> {
    tokenizer: T,
    special: SpecialTokens,
    /// The last tokens, and how many bytes of their decoding have been given out.
    window: Vec<u32>,
    given: usize,
}

impl<T: Deref<Target = Tokenizer>> Detokenizer<T> {
    /// An empty stream.
    pub fn new(tokenizer: T, special: SpecialTokens) -> Detokenizer<T> {
        Detokenizer { tokenizer, special, window: vec![], given: 0 }
    }

    /// Adds a token; gives the text that is certain now and was not before.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        if self.special == SpecialTokens::Skip && self.tokenizer.is_special(id) {
            return Ok(String::new());
        }
        self.window.push(id);
        // A run of byte tokens decodes as a whole: a byte to come may make all of it invalid.
        if self.tokenizer.token_text(id).is_some_and(|text| is_byte_token(&text)) {
            return Ok(String::new());
        }
        let text = self.decode()?;
        // A replacement character at the end may stand for a character whose other bytes are to come.
        let certain = text.strip_suffix(char::REPLACEMENT_CHARACTER).unwrap_or(&text);
        let piece = certain.get(self.given..).unwrap_or_default().to_owned();
        self.given = self.given.max(certain.len());
        self.forget(text.len() - self.given.min(text.len()))?;
        Ok(piece)
    }

    /// Ends the stream; gives the text that was held back.
    pub fn finish(self) -> Result<String, TokenizerError> {
        Ok(self.decode()?.get(self.given..).unwrap_or_default().to_owned())
    }

    fn decode(&self) -> Result<String, TokenizerError> {
        self.tokenizer.decode(&self.window, self.special)
    }

    /// Shortens a long window to its last tokens, of whose decoding the last `held` bytes have not been given out.
    fn forget(&mut self, held: usize) -> Result<(), TokenizerError> {
        if self.window.len() >= 2 * CONTEXT_TOKENS {
            self.window.drain(..self.window.len() - CONTEXT_TOKENS);
            self.given = self.decode()?.len().saturating_sub(held);
        }
        Ok(())
    }
}

/// Whether a token stands for a single byte, written `<0x0A>`.
fn is_byte_token(text: &str) -> bool {
    let hex = text.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
    hex.is_some_and(|hex| hex.len() == 2 && u8::from_str_radix(hex, 16).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn tiny_llama() -> Tokenizer {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/models/tiny-llama/tokenizer.json");
        Tokenizer::from_bytes(&std::fs::read(path).unwrap()).unwrap()
    }

    /// A tokenizer as SentencePiece models have it: spaces as `▁`, unknown bytes as `<0xNN>`.
    fn byte_fallback() -> Tokenizer {
        let mut vocab: Vec<String> = (0..256).map(|b| format!("<0x{b:02X}>")).collect();
        vocab.extend(["▁", "▁a", "b", "é", "▁你", "�"].map(str::to_owned));
        let vocab: serde_json::Map<_, _> = vocab.into_iter().zip((0..).map(|i: u32| json!(i))).collect();
        let file = json!({
            "version": "1.0", "added_tokens": [],
            "model": { "type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true },
            "decoder": { "type": "Sequence", "decoders": [
                { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
                { "type": "ByteFallback" }, { "type": "Fuse" },
                { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
            ]},
        });
        Tokenizer::from_bytes(file.to_string().as_bytes()).unwrap()
    }

    fn stream(tokenizer: &Tokenizer, ids: &[u32], special: SpecialTokens) -> String {
        let mut detokenizer = Detokenizer::new(tokenizer, special);
        let mut text: String = ids.iter().map(|&id| detokenizer.push(id).unwrap()).collect();
        text.push_str(&detokenizer.finish().unwrap());
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn pieces_join_to_the_whole(ids in prop::collection::vec(0u32..4100, 0..60)) {
            let tokenizer = tiny_llama();
            for special in [SpecialTokens::Skip, SpecialTokens::Keep] {
                let whole = tokenizer.decode(&ids, special).unwrap();
                prop_assert_eq!(stream(&tokenizer, &ids, special), whole);
            }
        }

        /// The first 256 tokens are single bytes: mostly invalid sequences, with valid ones between.
        #[test]
        fn bytes_join_to_the_whole(ids in prop::collection::vec(0u32..256, 0..80)) {
            let tokenizer = tiny_llama();
            let whole = tokenizer.decode(&ids, SpecialTokens::Skip).unwrap();
            prop_assert_eq!(stream(&tokenizer, &ids, SpecialTokens::Skip), whole);
        }

        #[test]
        fn byte_fallback_joins_to_the_whole(
            ids in prop::collection::vec(prop_oneof![0u32..256, 0xC0u32..0xF0, 0x80u32..0xC0, 256u32..262], 0..60),
        ) {
            let tokenizer = byte_fallback();
            let whole = tokenizer.decode(&ids, SpecialTokens::Skip).unwrap();
            prop_assert_eq!(stream(&tokenizer, &ids, SpecialTokens::Skip), whole);
        }
    }

    #[test]
    fn a_character_of_several_tokens_comes_out_whole() {
        let tokenizer = tiny_llama();
        let ids = tokenizer.encode("naïve 😀 日本", crate::tokenizer::AddSpecial::No).unwrap();
        let mut detokenizer = Detokenizer::new(&tokenizer, SpecialTokens::Skip);
        let pieces: Vec<String> = ids.iter().map(|&id| detokenizer.push(id).unwrap()).collect();
        assert!(pieces.iter().any(String::is_empty), "the emoji takes several tokens: {pieces:?}");
        assert!(pieces.iter().all(|p| !p.contains(char::REPLACEMENT_CHARACTER)), "{pieces:?}");
        assert_eq!(pieces.concat(), "naïve 😀 日本");
    }

    /// Nothing of a character comes out before its last byte; what is incomplete at the end is replaced.
    #[test]
    fn incomplete_bytes_are_held_back_and_replaced_at_the_end() {
        let (byte_level, byte_fallback) = (tiny_llama(), byte_fallback());
        let emoji = byte_level.encode("😀", crate::tokenizer::AddSpecial::No).unwrap();
        let bytes: Vec<u32> = "你".bytes().map(u32::from).collect();
        for (tokenizer, whole, character, replaced) in
            [(&byte_level, emoji, "😀", "\u{FFFD}"), (&byte_fallback, bytes, "你", "\u{FFFD}\u{FFFD}")]
        {
            assert!(whole.len() > 1, "{character} takes several tokens");
            let (last, begun) = whole.split_last().unwrap();
            let mut complete = Detokenizer::new(tokenizer, SpecialTokens::Skip);
            let mut cut = Detokenizer::new(tokenizer, SpecialTokens::Skip);
            for &id in begun {
                assert_eq!((complete.push(id).unwrap(), cut.push(id).unwrap()), Default::default());
            }
            assert_eq!(complete.push(*last).unwrap() + &complete.finish().unwrap(), character);
            assert_eq!(cut.finish().unwrap(), replaced);
        }
    }
}
