//! A record of calibration data as it stands in a file.

use std::collections::BTreeMap;

use samp_runtime::{Conversation, Message, TemplateValue, chat::ValueKind};
use serde::{Deserialize, Deserializer, de::Error};

use crate::jsonl::{NO_STRATUM, NotARecord};

/// What a record is, for hints.
pub(super) const HINT: &str = "each record has `text`, or `messages` with a `role` and a `content` each; `tools`, \
                               `stratum` and a `weight` above 0 are optional";

/// A record as it stands in a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SourceRecord {
    /// Text or conversation.
    pub content: Content,
    /// The part of the data that it belongs to.
    pub stratum: String,
    /// How likely it is drawn within its stratum, relative to the others; finite and above 0.
    pub weight: f64,
    /// Its line, row or document, from 1.
    pub number: usize,
    /// Keys that nothing reads.
    pub unknown: Vec<String>,
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Text as it is.
    Text(String),
    /// A conversation, for the chat template.
    Chat(Conversation),
}

/// Keys that people note things under: none of them is for the model.
const NOTES: [&str; 22] = [
    "_id",
    "category",
    "conversation_id",
    "created_at",
    "dataset",
    "date",
    "id",
    "idx",
    "index",
    "lang",
    "language",
    "license",
    "meta",
    "metadata",
    "name",
    "origin",
    "prompt_id",
    "source",
    "split",
    "subset",
    "timestamp",
    "url",
];

/// A line or a row.
#[derive(Deserialize)]
pub(super) struct Line {
    text: Option<String>,
    #[serde(default, deserialize_with = "stored")]
    messages: Option<TemplateValue>,
    #[serde(default, deserialize_with = "stored")]
    tools: Option<TemplateValue>,
    #[serde(default, deserialize_with = "stored")]
    documents: Option<TemplateValue>,
    /// Further variables of the chat template, as transformers' trainers call them.
    #[serde(default, deserialize_with = "stored")]
    chat_template_kwargs: Option<TemplateValue>,
    stratum: Option<String>,
    weight: Option<f64>,
    #[serde(flatten)]
    other: BTreeMap<String, TemplateValue>,
}

/// A value, or as columns of strings hold it, a JSON text of one; none where it is null.
fn stored<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TemplateValue>, D::Error> {
    let value = TemplateValue::deserialize(from)?;
    let value = match value.as_str() {
        Some(text) => serde_json::from_str(text).map_err(D::Error::custom)?,
        None => value,
    };
    Ok(Some(value).filter(|value| !value.is_none()))
}

/// The items of a list under `key`.
fn list(key: &str, value: &TemplateValue) -> Result<Vec<TemplateValue>, NotARecord> {
    let wrong =
        || NotARecord(format!("{key}: expected a list, or a JSON text of one, found {}", value.kind()));
    let items = (value.kind() == ValueKind::Seq).then(|| value.try_iter().ok()).flatten();
    items.map(Iterator::collect).ok_or_else(wrong)
}

impl Line {
    /// The record on line or row `number`, or what is wrong with it.
    pub(super) fn record(self, number: usize) -> Result<SourceRecord, NotARecord> {
        let wrong = |fault: &str| Err(NotARecord(fault.into()));
        let mut unknown: Vec<String> =
            self.other.into_keys().filter(|key| !NOTES.contains(&key.as_str())).collect();
        let content = match (self.text, self.messages) {
            (Some(text), None) => {
                let of_chats = [("tools", &self.tools), ("documents", &self.documents)];
                unknown.extend(
                    of_chats.into_iter().filter(|(_, held)| held.is_some()).map(|(key, _)| key.into()),
                );
                Content::Text(text)
            }
            (None, Some(messages)) => {
                let messages = conversation_turns(&messages)?;
                for (key, held) in [("tools", &self.tools), ("documents", &self.documents)] {
                    held.as_ref().map(|held| list(key, held)).transpose()?;
                }
                let variables = self.chat_template_kwargs.map(|held| variables(&held)).transpose()?;
                Content::Chat(Conversation {
                    messages,
                    tools: self.tools,
                    documents: self.documents,
                    variables: variables.unwrap_or_default(),
                })
            }
            (None, None) => return wrong("expected `text` or `messages`, found neither"),
            (Some(_), Some(_)) => return wrong("expected `text` or `messages`, found both"),
        };
        let weight = self.weight.unwrap_or(1.0);
        if !(weight.is_finite() && weight > 0.0) {
            return wrong(&format!("weight: expected a finite number above 0, found {weight}"));
        }
        Ok(SourceRecord {
            content,
            stratum: self.stratum.unwrap_or_else(|| NO_STRATUM.into()),
            weight,
            number,
            unknown,
        })
    }
}

fn conversation_turns(messages: &TemplateValue) -> Result<Vec<Message>, NotARecord> {
    let turns: Vec<Message> = list("messages", messages)?
        .into_iter()
        .map(Message::try_from)
        .collect::<Result<_, _>>()
        .map_err(|e| NotARecord(format!("messages: {e}")))?;
    if turns.is_empty() {
        return Err(NotARecord("messages: expected at least one, found none".into()));
    }
    Ok(turns)
}

fn variables(value: &TemplateValue) -> Result<BTreeMap<String, TemplateValue>, NotARecord> {
    let wrong = || NotARecord(format!("chat_template_kwargs: expected an object, found {}", value.kind()));
    let names =
        (value.kind() == ValueKind::Map).then(|| value.try_iter().ok()).flatten().ok_or_else(wrong)?;
    let held = |name: TemplateValue| Some((name.as_str()?.to_owned(), value.get_item(&name).ok()?));
    Ok(names.filter_map(held).collect())
}
