//! The messages of a conversation: texts, what the assistant called, and what came of that.

use samp_runtime::{Message, TemplateValue};
use serde_json::Value;

use super::{error::ApiError, fields::Fields};

/// Reads `messages`, of which there must be one.
pub fn messages(fields: &mut Fields) -> Result<Vec<Message>, ApiError> {
    let given = fields.take("messages");
    let Some(Value::Array(given)) = given.filter(|given| given.as_array().is_some_and(|all| !all.is_empty()))
    else {
        return Err(ApiError::field("messages", "expected an array of at least one message"));
    };
    let read = |(at, value)| message(value).map_err(|error| error.within(&format!("messages[{at}]")));
    given.into_iter().enumerate().map(read).collect()
}

/// Roles are part of the template's text, so only known ones are let through.
fn message(value: Value) -> Result<Message, ApiError> {
    let Value::Object(given) = value else { return Err(ApiError::field("", "expected an object")) };
    let mut fields = Fields::of(given);
    let role = match fields.text("role")?.as_deref() {
        Some("system" | "developer") => "system",
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("tool") => "tool",
        _ => {
            let expected = r#"expected "system", "developer", "user", "assistant" or "tool""#;
            return Err(ApiError::field("role", expected));
        }
    };
    let calls = if role == "assistant" { tool_calls(&mut fields)? } else { None };
    let mut said = vec![("role", TemplateValue::from(role))];
    match (content(&mut fields)?, &calls) {
        (Some(text), _) => said.push(("content", text.into())),
        (None, Some(_)) => {}
        (None, None) => return Err(ApiError::field("content", "expected a text or an array of texts")),
    }
    said.extend(calls.map(|calls| ("tool_calls", calls)));
    if role == "tool" {
        let id = fields.text("tool_call_id")?;
        let id = id.ok_or_else(|| ApiError::field("tool_call_id", "expected the id of the call"))?;
        said.push(("tool_call_id", id.into()));
        said.extend(fields.text("name")?.map(|name| ("name", name.into())));
    }
    fields.ignore(&["name", "annotations"]);
    fields.neutral("tool_calls", |calls| calls.as_array().is_some_and(Vec::is_empty))?;
    fields.finish()?;
    Message::try_from(TemplateValue::from_pairs(said)).map_err(|error| ApiError::field("", error))
}

/// A text, or the texts of its parts, joined.
fn content(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    match fields.take("content") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Array(parts)) => {
            let texts: Option<Vec<String>> = parts.into_iter().map(text_part).collect();
            let wrong = || ApiError::field("content", "expected parts of type \"text\" alone");
            Ok(Some(texts.ok_or_else(wrong)?.concat()))
        }
        Some(_) => Err(ApiError::field("content", "expected a text or an array of texts")),
    }
}

fn text_part(part: Value) -> Option<String> {
    let Value::Object(mut part) = part else { return None };
    let text = part.remove("text")?.as_str()?.to_owned();
    (part.remove("type")? == "text" && part.is_empty()).then_some(text)
}

/// What the assistant called, as templates see it: arguments as the object that their text is.
fn tool_calls(fields: &mut Fields) -> Result<Option<TemplateValue>, ApiError> {
    const FIELD: &str = "tool_calls";
    let calls = match fields.take(FIELD) {
        None => return Ok(None),
        Some(Value::Array(calls)) if calls.is_empty() => return Ok(None),
        Some(Value::Array(calls)) => calls,
        Some(_) => return Err(ApiError::field(FIELD, "expected an array of calls")),
    };
    let read = |(at, call)| tool_call(call).map_err(|error| error.within(&format!("{FIELD}[{at}]")));
    let calls: Vec<TemplateValue> = calls.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
    Ok(Some(calls.into()))
}

fn tool_call(call: Value) -> Result<TemplateValue, ApiError> {
    let Value::Object(call) = call else { return Err(ApiError::field("", "expected an object")) };
    let mut fields = Fields::of(call);
    let id = fields.text("id")?.ok_or_else(|| ApiError::field("id", "expected a text"))?;
    if fields.text("type")?.is_some_and(|kind| kind != "function") {
        return Err(ApiError::field("type", "expected \"function\""));
    }
    fields.ignore(&["index"]);
    let function = fields.object("function")?;
    fields.finish()?;
    let mut function = Fields::of(function.ok_or_else(|| ApiError::field("function", "expected an object"))?);
    let name = function.text("name")?.ok_or_else(|| ApiError::field("function.name", "expected a text"))?;
    let arguments = function.text("arguments")?.unwrap_or_default();
    function.finish()?;
    let arguments = if arguments.trim().is_empty() { "{}" } else { &arguments };
    let arguments = serde_json::from_str::<Value>(arguments)
        .ok()
        .filter(Value::is_object)
        .and_then(|_| serde_json::from_str::<TemplateValue>(arguments).ok())
        .ok_or_else(|| ApiError::field("function.arguments", "expected the text of a JSON object"))?;
    let function = TemplateValue::from_pairs([("name", name.into()), ("arguments", arguments)]);
    Ok(TemplateValue::from_pairs([("id", id.into()), ("type", "function".into()), ("function", function)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(given: Value) -> Result<Vec<Message>, ApiError> {
        messages(&mut Fields::parse(json!({ "messages": given }).to_string().as_bytes()).unwrap())
    }

    #[test]
    fn messages_are_texts_with_known_roles() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        let given = json!([
            {"role": "developer", "content": "be brief"}, {"role": "user", "content": parts, "name": "x"},
        ]);
        let read_all = read(given).unwrap();
        let said: Vec<(&str, &str)> = read_all.iter().map(|m| (m.role(), m.text().unwrap())).collect();
        assert_eq!(said, [("system", "be brief"), ("user", "ab")]);
    }

    #[test]
    fn calls_are_objects_to_templates_and_results_name_them() {
        let function = json!({ "name": "f", "arguments": "{\"z\": 1, \"a\": {}}" });
        let given = json!([
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ]);
        let read_all = read(given).unwrap();
        let calls = serde_json::to_string(read_all[0].field("tool_calls").unwrap()).unwrap();
        assert!(calls.find("\"z\"") < calls.find("\"a\"") && calls.contains("\"c1\""), "{calls}");
        assert_eq!(read_all[0].text(), None);
        assert_eq!((read_all[1].role(), read_all[1].text()), ("tool", Some("42")));
        assert_eq!(read_all[1].field("tool_call_id").unwrap().as_str(), Some("c1"));
    }

    #[test]
    fn what_is_no_message_is_refused_by_its_place() {
        let call = |function: Value| json!({ "role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}] });
        for (param, message) in [
            ("messages[0].role", json!({"role": "<|eot_id|>", "content": "x"})),
            ("messages[0].role", json!({"role": "function", "content": "x"})),
            ("messages[0].content", json!({"role": "user"})),
            ("messages[0].content", json!({"role": "assistant", "tool_calls": []})),
            (
                "messages[0].content",
                json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
            ),
            ("messages[0].refusal", json!({"role": "assistant", "content": "x", "refusal": "y"})),
            ("messages[0].tool_calls", json!({"role": "user", "content": "x", "tool_calls": [{}]})),
            ("messages[0].tool_calls", json!({"role": "assistant", "tool_calls": 7})),
            ("messages[0].tool_calls[0].id", json!({"role": "assistant", "tool_calls": [{}]})),
            (
                "messages[0].tool_calls[0].function.arguments",
                call(json!({"name": "f", "arguments": "{\"a\""})),
            ),
            ("messages[0].tool_calls[0].function.arguments", call(json!({"name": "f", "arguments": "[1]"}))),
            ("messages[0].tool_call_id", json!({"role": "tool", "content": "x"})),
            ("messages[0]", json!("hello")),
        ] {
            let refused = read(json!([message])).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(param), "{}", refused.message);
            assert!(refused.message.starts_with(param), "{}", refused.message);
        }
        assert_eq!(read(json!([])).unwrap_err().param.as_deref(), Some("messages"));
    }
}
