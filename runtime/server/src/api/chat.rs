//! The body of `/v1/chat/completions`.

use samp_runtime::Message;
use serde_json::Value;

use super::{
    error::ApiError,
    fields::Fields,
    message::messages,
    settings::{MAX_TOP_LOGPROBS, Settings},
    tools::Tools,
};

/// A conversation to be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The turns so far.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Option<Tools>,
    /// Most tokens of an answer; as many as the context holds where nothing is said.
    pub max_tokens: Option<usize>,
    /// Of how many of the likeliest tokens the log-probabilities are wanted, if they are at all.
    pub logprobs: Option<usize>,
    /// What it has in common with plain completions.
    pub settings: Settings,
}

impl ChatRequest {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<ChatRequest, ApiError> {
        let mut fields = Fields::parse(body)?;
        let settings = Settings::read(&mut fields, body)?;
        let messages = messages(&mut fields)?;
        let tools = Tools::read(&mut fields, body)?;
        let old = fields.count("max_tokens", 1..=u64::MAX)?;
        let max_tokens = fields.count("max_completion_tokens", 1..=u64::MAX)?.or(old);
        let logprobs = logprobs(&mut fields)?;
        refuse_what_is_not_done(&mut fields)?;
        fields.finish()?;
        Ok(ChatRequest { messages, tools, max_tokens, logprobs, settings })
    }
}

fn logprobs(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let wanted = fields.flag("logprobs")?.unwrap_or(false);
    let top = fields.count("top_logprobs", 0..=MAX_TOP_LOGPROBS as u64)?;
    match (wanted, top) {
        (false, Some(1..)) => Err(ApiError::field("top_logprobs", "allowed only where logprobs is true")),
        (false, _) => Ok(None),
        (true, top) => Ok(Some(top.unwrap_or(0))),
    }
}

/// What clients send by habit is let through where it asks for nothing.
fn refuse_what_is_not_done(fields: &mut Fields) -> Result<(), ApiError> {
    let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    fields.neutral("functions", empty)?;
    fields.neutral("modalities", |kinds| kinds.as_array().is_some_and(|kinds| kinds == &["text"]))?;
    fields.neutral("verbosity", |verbosity| verbosity == "medium")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<ChatRequest, ApiError> {
        ChatRequest::parse(value.to_string().as_bytes())
    }

    fn hello(more: Value) -> Value {
        let mut body = json!({ "messages": [{"role": "user", "content": "hello"}] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn what_is_not_done_is_refused_and_what_asks_for_nothing_is_not() {
        let habits =
            json!({ "tools": [], "tool_choice": "auto", "response_format": {"type": "text"}, "n": 1 });
        parse(hello(habits)).unwrap();
        for name in ["functions", "audio", "reasoning_effort", "web_search_options"] {
            let refused = parse(hello(json!({ name: [{"some": "thing"}] }))).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(name));
        }
    }

    #[test]
    fn the_newer_name_of_max_tokens_counts_more() {
        let request = parse(hello(json!({ "max_tokens": 3, "max_completion_tokens": 4 }))).unwrap();
        assert_eq!(request.max_tokens, Some(4));
        let request = parse(hello(json!({ "logprobs": true, "top_logprobs": 2 }))).unwrap();
        assert_eq!(request.logprobs, Some(2));
        assert!(parse(hello(json!({ "top_logprobs": 2 }))).is_err());
    }
}
