//! Which bytes a token of the vocabulary stands for.

use std::collections::BTreeMap;

use serde_json::Value;

/// How a vocabulary writes bytes, as its decoder says.
pub(super) enum Spelling {
    /// Each byte as one character (Radford et al. 2019): printable ones as themselves, others from U+0100 on.
    ByteLevel(BTreeMap<char, u8>),
    /// As text with `▁` for a space, and `<0x0A>` for a byte that no token has.
    SentencePiece,
    /// As text.
    Plain,
}

impl Spelling {
    pub fn new(tokenizer: &tokenizers::Tokenizer) -> Spelling {
        let decoder =
            tokenizer.get_decoder().map(|decoder| serde_json::to_value(decoder).unwrap_or_default());
        let kinds = decoder.as_ref().map(kinds).unwrap_or_default();
        if kinds.contains(&"ByteLevel") {
            Spelling::ByteLevel(byte_level())
        } else if kinds.contains(&"ByteFallback") || kinds.contains(&"Metaspace") {
            Spelling::SentencePiece
        } else {
            Spelling::Plain
        }
    }

    /// The bytes of a token of the vocabulary.
    pub fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            Spelling::ByteLevel(bytes) => {
                let spelled: Option<Vec<u8>> = token.chars().map(|c| bytes.get(&c).copied()).collect();
                spelled.unwrap_or_else(|| token.into())
            }
            Spelling::SentencePiece => {
                let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
                let byte = hex.filter(|hex| hex.len() == 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                byte.map_or_else(|| token.replace('▁', " ").into_bytes(), |byte| vec![byte])
            }
            Spelling::Plain => token.into(),
        }
    }
}

/// The kinds of a decoder and of those that it is made of.
fn kinds(decoder: &Value) -> Vec<&str> {
    let parts = decoder["decoders"].as_array().into_iter().flatten();
    decoder["type"].as_str().into_iter().chain(parts.flat_map(kinds)).collect()
}

fn byte_level() -> BTreeMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX).filter(|byte| !printable(*byte));
    let others = others.zip('\u{100}'..).map(|(byte, c)| (c, byte));
    (0..=u8::MAX).filter(|byte| printable(*byte)).map(|byte| (char::from(byte), byte)).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{AddSpecial, Tokenizer};

    #[test]
    fn the_bytes_of_tokens_join_to_the_text() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/models/tiny-llama/tokenizer.json");
        let tokenizer = Tokenizer::from_bytes(&std::fs::read(path).unwrap()).unwrap();
        let text = "naïve 😀\r\n\t日本 {\"a\": 1}\u{0}";
        let ids = tokenizer.encode(text, AddSpecial::No).unwrap();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.token_bytes(*id).unwrap()).collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
        assert_eq!(tokenizer.token_bytes(4092).unwrap(), b"<|eot_id|>");
        assert_eq!(tokenizer.token_bytes(70_000), None);
    }

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        let bytes = byte_level();
        assert_eq!(bytes.values().collect::<std::collections::BTreeSet<_>>().len(), 256);
        assert_eq!((bytes[&'Ġ'], bytes[&'Ċ'], bytes[&'a']), (b' ', b'\n', b'a'));
    }

    #[test]
    fn sentence_pieces_are_text_or_a_byte() {
        let bytes = |token: &str| Spelling::SentencePiece.bytes(token);
        assert_eq!(
            (bytes("▁a"), bytes("<0xE4>"), bytes("<0xE>")),
            (b" a".to_vec(), vec![0xE4], b"<0xE>".to_vec())
        );
    }
}
