//! A tokenizer for models that have learnt no language: a token for each byte, and those that begin and end a text.

use samp_abi::plan::Model;
use serde_json::{Map, Value, json};

/// `tokenizer.json` of byte-level BPE without merges. Ids beyond its tokens stand for no text.
pub(super) fn bytes_of_text(model: &Model) -> Value {
    let ends = [
        ("<|begin_of_text|>", model.bos_token_id),
        ("<|end_of_text|>", model.eos_token_ids.first().copied()),
    ];
    let ends: Vec<(&str, u32)> = ends.into_iter().filter_map(|(text, id)| Some((text, id?))).collect();
    let mut vocab: Map<String, Value> =
        byte_characters().zip(0u32..).map(|(character, id)| (character.into(), id.into())).collect();
    vocab.extend(ends.iter().map(|(text, id)| ((*text).to_owned(), (*id).into())));
    let added = ends.iter().map(|(text, id)| {
        json!({
            "id": id, "content": text, "special": true, "normalized": false, "single_word": false,
            "lstrip": false, "rstrip": false,
        })
    });
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<Value>>(),
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    })
}

/// The characters that byte-level vocabularies write the bytes 0 to 255 as: those that can be shown as they are in Latin-1,
/// the others by the characters from 256 on.
fn byte_characters() -> impl Iterator<Item = char> {
    let is_shown = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = '\u{100}'..;
    (0..=u8::MAX)
        .map(move |byte| if is_shown(byte) { byte.into() } else { others.next().expect("68 are there") })
}
