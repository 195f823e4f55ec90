//! Conversations as templates see them: messages with whatever keys they have, tools, and further variables.

use std::collections::BTreeMap;

use minijinja::{Value, value::ValueKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// One turn of a conversation: a role, mostly a content, and whatever else templates read, such as `name`, `tool_calls`,
/// `tool_call_id` or `reasoning_content`. Keys keep their order, which templates that write JSON show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    role: String,
    /// By name, without the role.
    fields: Vec<(String, Value)>,
}

const ROLE: &str = "role";
const CONTENT: &str = "content";
/// What a model thought before it answered: the name that templates read, then those that it had before.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl Message {
    /// A turn of `role` (`system`, `user`, `assistant`, or what else the template knows) that says a text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        let content = Value::from(content.into());
        Message { role: role.into(), fields: vec![(CONTENT.to_owned(), content)] }
    }

    /// Who speaks.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// What is said, where that is a text.
    pub fn text(&self) -> Option<&str> {
        self.field(CONTENT)?.as_str()
    }

    /// What stands under a key other than the role.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// What stands under a key and is not null.
    fn stated(&self, name: &str) -> Option<&Value> {
        self.field(name).filter(|value| !value.is_none())
    }

    /// The same turn with another role and with every other value changed.
    pub(super) fn map(&self, role: String, change: &dyn Fn(&Value) -> Value) -> Message {
        let fields = self.fields.iter().map(|(name, value)| (name.clone(), change(value))).collect();
        Message { role, fields }
    }

    /// The values other than the role.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.fields.iter().map(|(_, value)| value)
    }

    /// What a template sees: as transformers hands it over, without keys that hold nothing, and with the reasoning under
    /// each of its names.
    pub(super) fn to_value(&self) -> Value {
        let role = (ROLE.to_owned(), Value::from(self.role.as_str()));
        let held = self.fields.iter().filter(|(_, value)| !value.is_none()).cloned();
        let reasoning = REASONING.iter().find_map(|name| self.stated(name));
        let under = |name: &str| {
            reasoning.filter(|_| self.stated(name).is_none()).map(|text| (name.to_owned(), text.clone()))
        };
        let [last, first] = [under(REASONING[0]), under(REASONING[1])];
        Value::from_pairs(first.into_iter().chain([role]).chain(held).chain(last))
    }
}

/// What keeps a value from being a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoMessage(String);

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Message, D::Error> {
        Value::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl TryFrom<Value> for Message {
    type Error = NoMessage;

    /// An object with a role that is a string, and with a content, or what stands instead of one.
    fn try_from(value: Value) -> Result<Message, NoMessage> {
        let refused =
            |expected: &str, found: ValueKind| NoMessage(format!("expected {expected}, found {found}"));
        if value.kind() != ValueKind::Map {
            return Err(refused("an object with `role` and `content`", value.kind()));
        }
        let mut role = None;
        let mut fields = vec![];
        for key in value.try_iter().into_iter().flatten() {
            let held = value.get_item(&key).unwrap_or_default();
            match key.as_str() {
                Some(ROLE) => role = held.as_str().map(str::to_owned),
                Some(name) => fields.push((name.to_owned(), held)),
                None => return Err(refused("keys that are strings", key.kind())),
            }
        }
        let role = role.ok_or_else(|| NoMessage("expected `role`, a string".into()))?;
        let message = Message { role, fields };
        let says = |name: &str| message.stated(name).is_some();
        match message.field(CONTENT).map_or(ValueKind::Undefined, Value::kind) {
            ValueKind::String | ValueKind::Seq => Ok(message),
            // What an assistant calls, or thinks, stands instead of a content.
            ValueKind::None | ValueKind::Undefined if says("tool_calls") || says("function_call") => {
                Ok(message)
            }
            ValueKind::None | ValueKind::Undefined if REASONING.iter().any(|name| says(name)) => Ok(message),
            found => Err(refused("`content`, a string or a list of parts", found)),
        }
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value));
        let role = Value::from(self.role.as_str());
        serializer.collect_map([(ROLE, &role)].into_iter().chain(fields))
    }
}

/// What a chat template is run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The turns.
    pub messages: Vec<Message>,
    /// The tools that the model may call: a list of JSON schemas. A model with a template of its own for them uses that one.
    pub tools: Option<Value>,
    /// What the model may answer from: a list of documents.
    pub documents: Option<Value>,
    /// Further variables of the template, such as `enable_thinking`; they stand before those of the same name that the
    /// tokenizer's files give.
    pub variables: BTreeMap<String, Value>,
}

impl From<Vec<Message>> for Conversation {
    fn from(messages: Vec<Message>) -> Conversation {
        Conversation { messages, ..Conversation::default() }
    }
}

impl From<&[Message]> for Conversation {
    fn from(messages: &[Message]) -> Conversation {
        messages.to_vec().into()
    }
}

impl Conversation {
    /// Everything that is said, by whoever: the values of messages other than roles, tools, documents and variables.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        let messages = self.messages.iter().flat_map(Message::values);
        messages.chain(&self.tools).chain(&self.documents).chain(self.variables.values())
    }

    /// The same conversation with every role changed by `role` and every other value by `change`.
    pub(super) fn map(
        &self,
        role: &dyn Fn(&str) -> String,
        change: &dyn Fn(&Value) -> Value,
    ) -> Conversation {
        Conversation {
            messages: self.messages.iter().map(|m| m.map(role(&m.role), change)).collect(),
            tools: self.tools.as_ref().map(change),
            documents: self.documents.as_ref().map(change),
            variables: self.variables.iter().map(|(name, value)| (name.clone(), change(value))).collect(),
        }
    }
}
