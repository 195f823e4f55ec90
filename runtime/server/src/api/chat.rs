//! The body of `/v1/chat/completions`.

use samp_runtime::Message;
use serde_json::Value;

use super::{
    error::ApiError,
    fields::Fields,
    settings::{MAX_TOP_LOGPROBS, Settings},
};

/// A conversation to be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The turns so far.
    pub messages: Vec<Message>,
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
        let old = fields.count("max_tokens", 1..=u64::MAX)?;
        let max_tokens = fields.count("max_completion_tokens", 1..=u64::MAX)?.or(old);
        let logprobs = logprobs(&mut fields)?;
        refuse_what_is_not_done(&mut fields)?;
        fields.finish()?;
        Ok(ChatRequest { messages, max_tokens, logprobs, settings })
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
    fields.neutral("tools", empty)?;
    fields.neutral("functions", empty)?;
    fields.neutral("tool_choice", |choice| choice == "none" || choice == "auto")?;
    fields.neutral("parallel_tool_calls", Value::is_boolean)?;
    fields.neutral("modalities", |kinds| kinds.as_array().is_some_and(|kinds| kinds == &["text"]))?;
    fields.neutral("verbosity", |verbosity| verbosity == "medium")
}

fn messages(fields: &mut Fields) -> Result<Vec<Message>, ApiError> {
    let given = fields.take("messages");
    let Some(Value::Array(given)) = given.filter(|given| given.as_array().is_some_and(|all| !all.is_empty()))
    else {
        return Err(ApiError::field("messages", "expected an array of at least one message"));
    };
    given.into_iter().enumerate().map(|(at, value)| message(at, value)).collect()
}

/// Roles are part of the template's text, so only known ones are let through.
fn message(at: usize, value: Value) -> Result<Message, ApiError> {
    let place = |name: &str| format!("messages[{at}]{name}");
    let Value::Object(given) = value else {
        return Err(ApiError::field(&place(""), "expected an object"));
    };
    let mut fields = Fields::of(given);
    let inside = |error: ApiError| {
        let param = error.param.as_deref().unwrap_or_default();
        ApiError {
            param: Some(place(&format!(".{param}"))),
            message: place(&format!(".{}", error.message)),
            ..error
        }
    };
    let role = match fields.text("role").map_err(inside)?.as_deref() {
        Some("system" | "developer") => "system",
        Some("user") => "user",
        Some("assistant") => "assistant",
        _ => {
            let expected = "expected \"system\", \"developer\", \"user\" or \"assistant\"";
            return Err(ApiError::field(&place(".role"), expected));
        }
    };
    let content = match fields.take("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => {
            let texts: Option<Vec<String>> = parts.into_iter().map(text_part).collect();
            let wrong = || ApiError::field(&place(".content"), "expected parts of type \"text\" alone");
            texts.ok_or_else(wrong)?.concat()
        }
        _ => return Err(ApiError::field(&place(".content"), "expected a text or an array of texts")),
    };
    fields.ignore(&["name", "annotations"]);
    fields.neutral("tool_calls", |calls| calls.as_array().is_some_and(Vec::is_empty)).map_err(inside)?;
    fields.finish().map_err(inside)?;
    Ok(Message::new(role, content))
}

fn text_part(part: Value) -> Option<String> {
    let Value::Object(mut part) = part else { return None };
    let text = part.remove("text")?.as_str()?.to_owned();
    (part.remove("type")? == "text" && part.is_empty()).then_some(text)
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
    fn messages_are_texts_with_known_roles() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        let request = parse(json!({ "messages": [
            {"role": "developer", "content": "be brief"}, {"role": "user", "content": parts, "name": "x"},
        ]}));
        let said: Vec<(String, String)> =
            request.unwrap().messages.iter().map(|m| (m.role().into(), m.text().unwrap().into())).collect();
        assert_eq!(said, [("system".into(), "be brief".into()), ("user".into(), "ab".into())]);
        for (param, message) in [
            ("messages[0].role", json!({"role": "<|eot_id|>", "content": "x"})),
            ("messages[0].content", json!({"role": "user"})),
            (
                "messages[0].content",
                json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
            ),
            ("messages[0].refusal", json!({"role": "assistant", "content": "x", "refusal": "y"})),
            ("messages[0]", json!("hello")),
        ] {
            let refused = parse(json!({ "messages": [message] })).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(param), "{}", refused.message);
        }
        assert_eq!(parse(json!({ "messages": [] })).unwrap_err().param.as_deref(), Some("messages"));
    }

    #[test]
    fn what_is_not_done_is_refused_and_what_asks_for_nothing_is_not() {
        let habits =
            json!({ "tools": [], "tool_choice": "auto", "response_format": {"type": "text"}, "n": 1 });
        parse(hello(habits)).unwrap();
        for name in ["tools", "functions", "audio", "reasoning_effort", "web_search_options"] {
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
