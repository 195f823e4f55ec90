//! The tools that a request lets the model call, and which of them it must.

use std::collections::BTreeSet;

use samp_runtime::TemplateValue;
use serde_json::{Map, Value};

use super::{error::ApiError, fields::Fields};
use crate::constrain::Ordered;

/// Tools of a request.
const MAX_TOOLS: usize = 128;

/// The tools that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tools {
    /// As the template sees them: as they were sent, members in their order.
    pub shown: TemplateValue,
    /// What they are called by.
    pub functions: Vec<Function>,
    /// Which of them are to be called.
    pub choice: ToolChoice,
    /// Whether there may be several calls in an answer.
    pub parallel: bool,
}

/// A tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// What it is called by: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// The schema of its arguments, members in their order; any object where there is none.
    pub parameters: Option<Ordered>,
    /// Whether a schema that cannot be kept is refused; else arguments are any object then.
    pub strict: bool,
}

/// Which tools are to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model thinks best.
    Auto,
    /// At least one of them.
    Required,
    /// This one.
    Function(String),
}

impl Tools {
    /// Reads `tools`, `tool_choice` and `parallel_tool_calls` of a body; `None` where nothing may be called.
    pub fn read(fields: &mut Fields, body: &[u8]) -> Result<Option<Tools>, ApiError> {
        let given = match fields.take("tools") {
            None => vec![],
            Some(Value::Array(tools)) if tools.len() <= MAX_TOOLS => tools,
            Some(_) => {
                return Err(ApiError::field("tools", format!("expected an array of at most {MAX_TOOLS}")));
            }
        };
        let ordered = serde_json::from_slice::<Ordered>(body).ok();
        let functions: Vec<Function> = given
            .into_iter()
            .enumerate()
            .map(|(at, tool)| function(at, tool, ordered.as_ref()))
            .collect::<Result<_, _>>()?;
        let names: BTreeSet<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        if names.len() < functions.len() {
            return Err(ApiError::field("tools", "expected each name once"));
        }
        let parallel = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        let Some(choice) = choice(fields, &functions)? else { return Ok(None) };
        if functions.is_empty() {
            return Ok(None);
        }
        let shown = serde_json::from_slice::<TemplateValue>(body).ok();
        let shown = shown.and_then(|body| body.get_attr("tools").ok()).unwrap_or_default();
        Ok(Some(Tools { shown, functions, choice, parallel }))
    }
}

/// `None` where no tool is to be called.
fn choice(fields: &mut Fields, functions: &[Function]) -> Result<Option<ToolChoice>, ApiError> {
    const FIELD: &str = "tool_choice";
    let choice = match fields.take(FIELD) {
        None => return Ok(Some(ToolChoice::Auto)),
        Some(Value::String(word)) => match word.as_str() {
            "none" => return Ok(None),
            "auto" => return Ok(Some(ToolChoice::Auto)),
            "required" => Some(ToolChoice::Required),
            _ => None,
        },
        Some(Value::Object(named)) => named_function(named).map(ToolChoice::Function),
        Some(_) => None,
    };
    let expected = r#"expected "none", "auto", "required" or {"type": "function", "function": {"name": …}}"#;
    let choice = choice.ok_or_else(|| ApiError::field(FIELD, expected))?;
    if functions.is_empty() {
        return Err(ApiError::field(FIELD, "there are no tools to choose from; give `tools`"));
    }
    match &choice {
        ToolChoice::Function(name) if !functions.iter().any(|function| function.name == *name) => {
            Err(ApiError::field(FIELD, format!("{name:?} is not among the tools")))
        }
        _ => Ok(Some(choice)),
    }
}

fn named_function(mut named: Map<String, Value>) -> Option<String> {
    let (kind, function) = (named.remove("type")?, named.remove("function")?);
    let name = function.get("name")?.as_str()?.to_owned();
    let nothing_else = named.is_empty() && function.as_object()?.len() == 1;
    (kind == "function" && nothing_else).then_some(name)
}

fn function(at: usize, tool: Value, body: Option<&Ordered>) -> Result<Function, ApiError> {
    let place = format!("tools[{at}]");
    let wrong = |expected: &str| ApiError::field(&place, expected);
    let Value::Object(mut tool) = tool else { return Err(wrong("expected an object")) };
    if tool.remove("type").is_none_or(|kind| kind != "function") {
        return Err(wrong("expected the type \"function\""));
    }
    let Some(Value::Object(function)) = tool.remove("function") else {
        return Err(wrong("expected the object function"));
    };
    let inside = |error: ApiError| error.within(&place);
    Fields::of(tool).finish().map_err(inside)?;
    let inside = |error: ApiError| error.within(&format!("{place}.function"));
    let mut fields = Fields::of(function);
    let name = fields.text("name").map_err(inside)?.unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
        let expected = "expected a name of 1 to 64 letters, digits, `_`, `-` and `.`";
        return Err(inside(ApiError::field("name", expected)));
    }
    fields.text("description").map_err(inside)?;
    let strict = fields.flag("strict").map_err(inside)?.unwrap_or(false);
    let has_parameters =
        fields.object("parameters").map_err(inside)?.is_some_and(|schema| !schema.is_empty());
    fields.finish().map_err(inside)?;
    let at = at.to_string();
    let parameters = body.and_then(|body| body.at(["tools", at.as_str(), "function", "parameters"]));
    let parameters = parameters.filter(|_| has_parameters).cloned();
    Ok(Function { name, parameters, strict })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &str) -> Result<Option<Tools>, ApiError> {
        let mut fields = Fields::parse(body.as_bytes()).unwrap();
        let tools = Tools::read(&mut fields, body.as_bytes())?;
        fields.finish().map(|()| tools)
    }

    fn tool(name: &str) -> Value {
        json!({ "type": "function", "function": {"name": name, "parameters": {"type": "object"}} })
    }

    #[test]
    fn tools_keep_the_order_of_what_they_say() {
        let body = r#"{"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
            "properties": {"z": {}, "a": {}}}, "description": "d"}}], "tool_choice": "required"}"#;
        let tools = read(body).unwrap().unwrap();
        assert_eq!((tools.choice, tools.parallel), (ToolChoice::Required, true));
        let shown = serde_json::to_string(&tools.shown).unwrap();
        let places: Vec<usize> = ["name", "parameters", "z", "\"a", "description"]
            .iter()
            .map(|key| shown.find(key).unwrap())
            .collect();
        assert!(places.is_sorted(), "{shown}");
        let parameters = tools.functions[0].parameters.as_ref().unwrap().to_string();
        assert!(parameters.find("\"z\"") < parameters.find("\"a\""), "{parameters}");
    }

    #[test]
    fn nothing_is_called_where_nothing_may_be() {
        for body in [
            json!({}),
            json!({ "tools": [], "tool_choice": "auto" }),
            json!({ "tools": [tool("f")], "tool_choice": "none" }),
        ] {
            assert_eq!(read(&body.to_string()), Ok(None), "{body}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let named = |name: &str| json!({ "type": "function", "function": {"name": name} });
        for (body, param) in [
            (json!({ "tools": 1 }), "tools"),
            (json!({ "tools": vec![tool("f"); 2] }), "tools"),
            (json!({ "tools": [{}] }), "tools[0]"),
            (json!({ "tools": [{"type": "custom", "custom": {"name": "x"}}] }), "tools[0]"),
            (json!({ "tools": [tool("two words")] }), "tools[0].function.name"),
            (
                json!({ "tools": [{"type": "function", "function": {"name": "f", "strict": 1}}] }),
                "tools[0].function.strict",
            ),
            (
                json!({ "tools": [{"type": "function", "function": {"name": "f", "code": "x"}}] }),
                "tools[0].function.code",
            ),
            (json!({ "tool_choice": "required" }), "tool_choice"),
            (json!({ "tools": [tool("f")], "tool_choice": "any" }), "tool_choice"),
            (json!({ "tools": [tool("f")], "tool_choice": named("g") }), "tool_choice"),
            (json!({ "tools": [tool("f")], "tool_choice": {"type": "allowed_tools"} }), "tool_choice"),
        ] {
            assert_eq!(read(&body.to_string()).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
    }
}
