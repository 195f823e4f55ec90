//! What Python hands in as a prompt.

use pyo3::{exceptions::PyTypeError, prelude::*, types::PyString};
use samp_runtime::{Message, Prompt};

/// A text, tokens, or a conversation.
pub(crate) enum PromptValue {
    Text(String),
    Tokens(Vec<u32>),
    Chat(Vec<Message>),
}

#[derive(FromPyObject)]
struct MessageValue {
    #[pyo3(item)]
    role: String,
    #[pyo3(item)]
    content: String,
}

impl PromptValue {
    pub fn of(value: &Bound<'_, PyAny>) -> PyResult<PromptValue> {
        if let Ok(text) = value.cast::<PyString>() {
            return Ok(PromptValue::Text(text.extract()?));
        }
        if let Ok(tokens) = value.extract() {
            return Ok(PromptValue::Tokens(tokens));
        }
        let messages: Vec<MessageValue> = value.extract().map_err(|error| {
            let expected = "a str, a list of token ids, or a list of messages with `role` and `content`";
            PyTypeError::new_err(format!("a prompt is {expected}; found {}: {error}", kind(value)))
        })?;
        let message = |MessageValue { role, content }| Message::new(role, content);
        Ok(PromptValue::Chat(messages.into_iter().map(message).collect()))
    }

    pub fn prompt(&self) -> Prompt<'_> {
        match self {
            PromptValue::Text(text) => Prompt::Text(text),
            PromptValue::Tokens(tokens) => Prompt::Tokens(tokens),
            PromptValue::Chat(messages) => Prompt::Chat(messages),
        }
    }
}

fn kind(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "something else".into(), |name| name.to_string())
}
