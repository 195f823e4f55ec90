//! Which characters of a rendered conversation its messages wrote.
//!
//! A template is run on messages some of whose characters have others of private use in their place, which show in the
//! text where each of them went. First every character that special tokens are spelled with has a stand-in. A template
//! that looks into the messages may then write something else; where it does, only one character of each special token
//! that a message spells has one, so that the template finds none there.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Value, value::ValueKind};

use super::{ChatError, ChatTemplate, Conversation};
use crate::tokenizer::{PRIVATE_USE, SpecialVocabulary, Tokenizer};

impl ChatTemplate {
    /// The token ids of a conversation; with `add_generation_prompt`, up to where the assistant's answer begins.
    ///
    /// They are those of transformers' `apply_chat_template`, but for special tokens that a message, a tool or a variable
    /// spells, such as `<|eot_id|>` in what a user wrote: those are encoded as the text that they are. Roles are the
    /// caller's own words and part of the template; check them where others choose them.
    pub fn tokens(
        &self,
        tokenizer: &Tokenizer,
        conversation: &Conversation,
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, ChatError> {
        let special = tokenizer.special_vocabulary();
        let rendered = render(self, special, conversation, add_generation_prompt)?;
        Ok(tokenizer.encode_untrusted(&rendered.text, &rendered.from_messages)?)
    }

    /// The same of a conversation as data has it: up to where the assistant's answer begins, unless it ends with one.
    pub fn record_tokens(
        &self,
        tokenizer: &Tokenizer,
        conversation: &Conversation,
    ) -> Result<Vec<u32>, ChatError> {
        let answered = conversation.messages.last().is_some_and(|message| message.role() == "assistant");
        self.tokens(tokenizer, conversation, !answered)
    }
}

/// A conversation as text.
#[derive(Debug, PartialEq)]
struct Rendered {
    text: String,
    /// For each byte of the text, whether a message wrote it and it can help to spell a special token.
    from_messages: Vec<bool>,
}

/// Renders a conversation, and says what of it the messages wrote.
fn render(
    template: &ChatTemplate,
    special: &SpecialVocabulary,
    conversation: &Conversation,
    add_generation_prompt: bool,
) -> Result<Rendered, ChatError> {
    let stand_ins = StandIns::new(template, special, conversation)?;
    let disguised = |disguise: &dyn Fn(&str) -> String| {
        let break_up = |text: &str| stand_ins.break_up(special, text);
        let conversation = conversation.map(&break_up, &|value| changed(value, disguise, &break_up));
        Ok::<_, ChatError>(stand_ins.reveal(&template.render(&conversation, add_generation_prompt)?))
    };
    let plain = template.render(conversation, add_generation_prompt)?;
    match disguised(&|text| stand_ins.replace(text)) {
        Ok(rendered) if rendered.text == plain => Ok(rendered),
        _ => disguised(&|text| stand_ins.break_up(special, text)),
    }
}

/// A value with its texts changed, and the keys of its objects, which templates ask for by name.
fn changed(value: &Value, text: &dyn Fn(&str) -> String, key: &dyn Fn(&str) -> String) -> Value {
    let items = || value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::String => Value::from(text(value.as_str().unwrap_or_default())),
        ValueKind::Seq => items().map(|item| changed(&item, text, key)).collect(),
        ValueKind::Map => Value::from_pairs(items().map(|name| {
            let held = value.get_item(&name).unwrap_or_default();
            let name = name.as_str().map_or_else(|| name.clone(), |name| Value::from(key(name)));
            (name, changed(&held, text, key))
        })),
        _ => value.clone(),
    }
}

/// Calls `visit` with every text of a value and every key of its objects.
fn visit_texts(value: &Value, visit: &mut dyn FnMut(&str)) {
    match value.kind() {
        ValueKind::String => visit(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Map => {
            for item in value.try_iter().into_iter().flatten() {
                if value.kind() == ValueKind::Map {
                    visit_texts(&value.get_item(&item).unwrap_or_default(), visit);
                }
                visit_texts(&item, visit);
            }
        }
        _ => {}
    }
}

/// Characters of private use, each for one that special tokens are spelled with.
struct StandIns {
    of: BTreeMap<char, char>,
    original: BTreeMap<char, char>,
}

impl StandIns {
    /// Stand-ins that nothing else of the conversation has.
    fn new(
        template: &ChatTemplate,
        special: &SpecialVocabulary,
        conversation: &Conversation,
    ) -> Result<StandIns, ChatError> {
        let mut taken = BTreeSet::new();
        let mut take = |text: &str| taken.extend(text.chars().filter(|c| PRIVATE_USE.contains(c)));
        conversation.messages.iter().for_each(|message| take(message.role()));
        conversation.values().for_each(|value| visit_texts(value, &mut take));
        template.sources.texts().for_each(&mut take);
        template.tokens.values().for_each(|text| take(text));
        // Where templates trim white space, they trim what stands for it no more.
        let spelling = special
            .iter()
            .flat_map(|(text, _)| text.chars().filter(|c| !c.is_whitespace()).chain(text.chars().next()));
        let spelling: BTreeSet<char> = spelling.collect();
        let free: Vec<char> = PRIVATE_USE.filter(|c| !taken.contains(c)).take(spelling.len()).collect();
        if free.len() < spelling.len() {
            return Err(ChatError::Refused("the messages have every character of private use".into()));
        }
        let of: BTreeMap<char, char> = spelling.into_iter().zip(free).collect();
        let original = of.iter().map(|(original, stand_in)| (*stand_in, *original)).collect();
        Ok(StandIns { of, original })
    }

    /// Every character that special tokens are spelled with, replaced; white space is not.
    fn replace(&self, text: &str) -> String {
        text.chars()
            .map(|c| if c.is_whitespace() { c } else { self.of.get(&c).copied().unwrap_or(c) })
            .collect()
    }

    /// One character of each special token that is spelled, replaced.
    fn break_up(&self, special: &SpecialVocabulary, text: &str) -> String {
        let mut broken = BTreeSet::new();
        for (at, _) in text.char_indices() {
            for (token, _) in special.beginning(&text[at..]) {
                let visible = token.find(|c: char| !c.is_whitespace()).unwrap_or(0);
                broken.insert(at + visible);
            }
        }
        let replaced = |(at, c): (usize, char)| if broken.contains(&at) { self.of[&c] } else { c };
        text.char_indices().map(replaced).collect()
    }

    /// The text with the characters that stand-ins stand for, and which bytes of it those are.
    fn reveal(&self, text: &str) -> Rendered {
        let mut revealed = String::with_capacity(text.len());
        let mut from_messages = Vec::with_capacity(text.len());
        for c in text.chars() {
            let original = self.original.get(&c);
            revealed.push(*original.unwrap_or(&c));
            from_messages.resize(revealed.len(), original.is_some());
        }
        Rendered { text: revealed, from_messages }
    }
}
