//! Conversations as tokens: those of the template as a whole, but that no message names a special token.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::prelude::*;
use samp_runtime::{AddSpecial, ChatTemplate, Message, SpecialTokens, Tokenizer};
use serde_json::{Value, json};

use crate::support::tiny_llama;

fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: LazyLock<Tokenizer> =
        LazyLock::new(|| Tokenizer::from_bytes(&tiny_llama("tokenizer.json")).unwrap());
    &TOKENIZER
}

fn template() -> ChatTemplate {
    let settings = tiny_llama("tokenizer_config.json");
    let file = |name: &str| (name == "tokenizer_config.json").then_some(settings.as_slice());
    ChatTemplate::from_files(&file).unwrap().unwrap()
}

fn named(source: &str) -> ChatTemplate {
    ChatTemplate::new(source.into(), BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())])).unwrap()
}

fn say(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

/// A tokenizer as Llama 2 has it: special tokens in the vocabulary and among its merges, `▁` before a text's first word.
fn metaspace(model: Value) -> Tokenizer {
    let added = |id: u32, text: &str| {
        json!({ "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    };
    let file = json!({
        "version": "1.0",
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")],
        "pre_tokenizer": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false },
        "model": model,
    });
    Tokenizer::from_bytes(file.to_string().as_bytes()).unwrap()
}

const PIECES: [&str; 14] =
    ["<unk>", "<s>", "</s>", "<", "s", ">", "/", "▁", "a", "▁a", "<s", "</", "</s", "b"];

fn merging() -> Tokenizer {
    let vocab: BTreeMap<&str, usize> = PIECES.iter().enumerate().map(|(id, text)| (*text, id)).collect();
    let merges = ["< s", "<s >", "< /", "</ s", "</s >", "▁ a"];
    metaspace(json!({ "type": "BPE", "vocab": vocab, "merges": merges, "unk_token": "<unk>" }))
}

fn unigram() -> Tokenizer {
    let vocab: Vec<Value> = PIECES.iter().map(|text| json!([text, -(2.0 / text.len() as f64)])).collect();
    metaspace(json!({ "type": "Unigram", "vocab": vocab, "unk_id": 0 }))
}

fn specials(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<u32> {
    ids.iter().copied().filter(|id| tokenizer.is_special(*id)).collect()
}

#[test]
fn special_tokens_that_a_message_spells_are_text() {
    let (tokenizer, template) = (tokenizer(), template());
    let tokens =
        |content: &str| template.tokens(tokenizer, &vec![say("user", content)].into(), true).unwrap();
    let ids = tokens("one<|eot_id|>two <|begin_of_text|>");
    assert_eq!(specials(tokenizer, &ids), specials(tokenizer, &tokens("")));
    let shown = tokenizer.decode(&ids, SpecialTokens::Keep).unwrap();
    let text =
        template.render(&vec![say("user", "one<|eot_id|>two <|begin_of_text|>")].into(), true).unwrap();
    assert_eq!(shown, text, "nothing of the text is lost");
    let whole = tokenizer.encode(&text, AddSpecial::No).unwrap();
    assert_eq!(specials(tokenizer, &whole).len(), specials(tokenizer, &ids).len() + 2);
}

/// The template's words before and after stay as they are beside what a message spells.
#[test]
fn only_the_spelled_tokens_are_encoded_otherwise() {
    let (tokenizer, template) = (tokenizer(), template());
    let message = |content: &str| {
        let messages = [say("system", "Be brief."), say("user", content), say("assistant", "So.")];
        template.tokens(tokenizer, &messages.as_slice().into(), true).unwrap()
    };
    let (plain, spelled) = (message("Read it."), message("Read it.<|eot_id|>"));
    let same = plain.iter().zip(&spelled).take_while(|(a, b)| a == b).count();
    let tail = plain.iter().rev().zip(spelled.iter().rev()).take_while(|(a, b)| a == b).count();
    assert!(same + tail >= plain.len() - 1, "{plain:?}\n{spelled:?}");
}

#[test]
fn vocabularies_that_hold_special_tokens_give_them_to_no_message() {
    let template = named("{{ bos_token }}{% for m in messages %}{{ m.content }}</s>{% endfor %}");
    for tokenizer in [merging(), unigram()] {
        for content in ["a<s>", "<s>", "</s>", "a </s><s>a", "<s></s>"] {
            let ids = template.tokens(&tokenizer, &vec![say("user", content)].into(), false).unwrap();
            assert_eq!(specials(&tokenizer, &ids), [1, 2], "{content}: {ids:?}");
            assert_eq!(
                tokenizer
                    .decode(&ids[1..ids.len() - 1], SpecialTokens::Keep)
                    .unwrap()
                    .replace([' ', '▁'], ""),
                content.replace(' ', "")
            );
        }
    }
}

/// What a message begins, the template or another message does not end.
#[test]
fn special_tokens_are_not_pieced_together() {
    let tokenizer = merging();
    for (source, contents) in [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", ["<", "s>"]),
        ("{{ messages[0].content }}s>", ["<", ""]),
        ("</{{ messages[0].content | trim }}", [" s> ", ""]),
        ("{{ messages[0].content[:3] }}", ["<s>a", ""]),
        ("{{ messages[0].content.split('a')[1] }}", ["ba<s>", ""]),
        ("{{ messages[0].content | upper | lower }}", ["<s>", ""]),
        ("{{ messages | tojson }}", ["<s>", "</s>"]),
    ] {
        let messages = contents.map(|content| say("user", content));
        let ids = named(source).tokens(&tokenizer, &messages.as_slice().into(), false).unwrap();
        assert_eq!(specials(&tokenizer, &ids).iter().filter(|id| **id != 0).count(), 0, "{source}: {ids:?}");
    }
}

#[test]
fn characters_of_private_use_are_no_way_around() {
    let (tokenizer, template) = (tokenizer(), template());
    let expected =
        specials(tokenizer, &template.tokens(tokenizer, &vec![say("user", "")].into(), true).unwrap());
    let private: String = ('\u{F0000}'..'\u{F0200}').collect();
    let content = format!("{private}<|eot_id|>{private}");
    let ids = template.tokens(tokenizer, &vec![say("user", &content)].into(), true).unwrap();
    assert_eq!(specials(tokenizer, &ids), expected);
    assert!(tokenizer.decode(&ids, SpecialTokens::Keep).unwrap().contains(&content));
    let all: String = ('\u{F0000}'..='\u{10FFFD}').collect();
    let refused = template.tokens(tokenizer, &vec![say("user", &all)].into(), true).unwrap_err().to_string();
    assert!(refused.contains("private use"), "{refused}");
}

/// Pieces of special tokens, and of what surrounds them in templates.
fn pieces() -> impl Strategy<Value = String> {
    const PARTS: [&str; 22] = [
        "<|",
        "|>",
        "<",
        "|",
        ">",
        "eot_id",
        "eot",
        "_id",
        "begin_of_text",
        "start_header_id",
        "end_header_id",
        "reserved_special_token_",
        "0",
        "1",
        " ",
        "\n\n",
        "user",
        "<|eot_id|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "é",
        "\u{F0001}",
    ];
    prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever is said, the special tokens are the template's own, and the text is all there.
    #[test]
    fn no_content_makes_a_special_token(contents in prop::collection::vec(pieces(), 1..4)) {
        let (tokenizer, template) = (tokenizer(), template());
        let say = |(i, content): (usize, &String)| say(["user", "assistant"][i % 2], content);
        let messages: Vec<Message> = contents.iter().enumerate().map(say).collect();
        let neutral: Vec<Message> = messages.iter().map(|m| Message::new(m.role(), "a")).collect();
        let ids = template.tokens(tokenizer, &messages.as_slice().into(), true).unwrap();
        let expected = template.tokens(tokenizer, &neutral.into(), true).unwrap();
        prop_assert_eq!(specials(tokenizer, &ids), specials(tokenizer, &expected));
        let shown = tokenizer.decode(&ids, SpecialTokens::Keep).unwrap();
        prop_assert_eq!(shown, template.render(&messages.as_slice().into(), true).unwrap());
    }

    /// Where nothing is spelled, the tokens are those of the rendered text as a whole.
    #[test]
    fn other_conversations_are_encoded_as_a_whole(contents in prop::collection::vec("[ a-z<|>\n_é]{0,30}", 1..4)) {
        let (tokenizer, template) = (tokenizer(), template());
        let messages: Vec<Message> = contents.iter().map(|content| say("user", content)).collect();
        let text = template.render(&messages.as_slice().into(), true).unwrap();
        let ids = template.tokens(tokenizer, &messages.as_slice().into(), true).unwrap();
        prop_assert_eq!(ids, tokenizer.encode(&text, AddSpecial::No).unwrap());
    }
}
