//! A record of calibration data as it stands in a file.

use samp_runtime::Message;
use serde::{Deserialize, Deserializer, de::IntoDeserializer};

use crate::jsonl::{NO_STRATUM, NotARecord};

/// What a record is, for hints.
pub(super) const HINT: &str = "each record has `text`, or `messages` with a `role` and a `content` each; `stratum` and a \
                               `weight` above 0 are optional";

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
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Text as it is.
    Text(String),
    /// A conversation, for the chat template.
    Chat(Vec<Message>),
}

/// A line or a row. Other keys are passed over.
#[derive(Deserialize)]
pub(super) struct Line {
    text: Option<String>,
    #[serde(default, deserialize_with = "messages")]
    messages: Option<Vec<Message>>,
    stratum: Option<String>,
    weight: Option<f64>,
}

/// A list, or as columns of strings hold it, a JSON text of one.
fn messages<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Message>>, D::Error> {
    use serde::de::Error;
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Text(String),
        List(Vec<serde_json::Value>),
    }
    let stored = Option::<Stored>::deserialize(from)
        .map_err(|_| D::Error::custom("messages: expected a list, or a JSON text of one"))?;
    let list = match stored {
        None => return Ok(None),
        Some(Stored::Text(text)) => serde_json::from_str(&text),
        Some(Stored::List(list)) => Vec::deserialize(list.into_deserializer()),
    };
    list.map(Some).map_err(|e| D::Error::custom(format!("messages: {e}")))
}

impl Line {
    /// The record on line or row `number`, or what is wrong with it.
    pub(super) fn record(self, number: usize) -> Result<SourceRecord, NotARecord> {
        let wrong = |fault: &str| Err(NotARecord(fault.into()));
        let content = match (self.text, self.messages) {
            (Some(text), None) => Content::Text(text),
            (None, Some(messages)) if messages.is_empty() => {
                return wrong("messages: expected at least one, found none");
            }
            (None, Some(messages)) => Content::Chat(messages),
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
        })
    }
}
