//! What a request says of the form of its answer.

use serde_json::{Map, Value};

use super::{error::ApiError, fields::Fields};
use crate::constrain::Ordered;

/// The form that an answer is to have.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerForm {
    /// Any JSON object.
    Object,
    /// A value of a JSON schema.
    Schema {
        /// The field that the schema stands in.
        field: &'static str,
        /// The schema, members in their order.
        schema: Ordered,
    },
    /// What a regular expression matches as a whole.
    Expression(String),
    /// One of these texts.
    Choice(Vec<String>),
}

impl AnswerForm {
    /// Reads `response_format`, OpenAI's, and `structured_outputs`, vLLM's, of a body.
    pub fn read(fields: &mut Fields, body: &[u8]) -> Result<Option<AnswerForm>, ApiError> {
        let format = match fields.object("response_format")? {
            Some(format) => response_format(format, body)?,
            None => None,
        };
        match (format, fields.object("structured_outputs")?) {
            (format, None) => Ok(format),
            (None, Some(outputs)) => structured_outputs(outputs, body).map(Some),
            (Some(_), Some(_)) => Err(ApiError::field(
                "structured_outputs",
                "allowed only where response_format asks for nothing",
            )),
        }
    }
}

fn response_format(mut format: Map<String, Value>, body: &[u8]) -> Result<Option<AnswerForm>, ApiError> {
    const FIELD: &str = "response_format";
    let kind = format.remove("type");
    let form = match kind.as_ref().and_then(Value::as_str) {
        Some("text") => None,
        Some("json_object") => Some(AnswerForm::Object),
        Some("json_schema") => {
            let Some(Value::Object(described)) = format.remove("json_schema") else {
                return Err(ApiError::field(FIELD, "expected the object json_schema"));
            };
            let mut described = Fields::of(described);
            described.ignore(&["name", "description", "strict"]);
            described.take("schema");
            described.finish()?;
            Some(schema(FIELD, body, &[FIELD, "json_schema", "schema"])?)
        }
        _ => {
            let expected = "expected the type \"text\", \"json_object\" or \"json_schema\"";
            return Err(ApiError::field(FIELD, expected));
        }
    };
    Fields::of(format).finish()?;
    Ok(form)
}

fn structured_outputs(outputs: Map<String, Value>, body: &[u8]) -> Result<AnswerForm, ApiError> {
    const FIELD: &str = "structured_outputs";
    let mut outputs = Fields::of(outputs);
    let (json, regex) = (outputs.take("json"), outputs.text("regex")?);
    let (choice, object) = (outputs.texts("choice", 1024)?, outputs.flag("json_object")?.unwrap_or(false));
    outputs.finish()?;
    match (json, regex, choice.is_empty(), object) {
        (Some(_), None, true, false) => schema(FIELD, body, &[FIELD, "json"]),
        (None, Some(expression), true, false) => Ok(AnswerForm::Expression(expression)),
        (None, None, false, false) => Ok(AnswerForm::Choice(choice)),
        (None, None, true, true) => Ok(AnswerForm::Object),
        _ => Err(ApiError::field(FIELD, "expected one of json, regex, choice and json_object")),
    }
}

/// A schema, read anew from the body: the fields that were read so far have lost the order of their members.
fn schema(field: &'static str, body: &[u8], path: &[&str]) -> Result<AnswerForm, ApiError> {
    let read = serde_json::from_slice::<Ordered>(body).ok();
    let schema = read.as_ref().and_then(|body| body.at(path.iter().copied())).cloned();
    let schema = match schema.as_ref().and_then(Ordered::as_str) {
        Some(text) => serde_json::from_str(text).ok(),
        None => schema,
    };
    schema
        .map(|schema| AnswerForm::Schema { field, schema })
        .ok_or_else(|| ApiError::field(field, "expected a JSON schema"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Result<Option<AnswerForm>, ApiError> {
        let body = body.to_string();
        let mut fields = Fields::parse(body.as_bytes()).unwrap();
        let form = AnswerForm::read(&mut fields, body.as_bytes())?;
        fields.finish().map(|()| form)
    }

    #[test]
    fn forms_are_read_as_openai_and_vllm_write_them() {
        let schema = json!({ "type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": {"type": "null"}} });
        for given in [
            json!({ "response_format": schema }),
            json!({ "structured_outputs": {"json": "{\"type\": \"null\"}"} }),
        ] {
            let form = read(given).unwrap().unwrap();
            assert!(
                matches!(&form, AnswerForm::Schema { schema, .. } if schema.to_string() == r#"{"type":"null"}"#)
            );
        }
        assert_eq!(read(json!({ "response_format": {"type": "text"} })), Ok(None));
        assert_eq!(read(json!({ "response_format": {"type": "json_object"} })), Ok(Some(AnswerForm::Object)));
        let choice = json!({ "structured_outputs": {"choice": ["a", "b"]} });
        assert_eq!(read(choice), Ok(Some(AnswerForm::Choice(vec!["a".into(), "b".into()]))));
    }

    #[test]
    fn what_says_no_form_is_refused() {
        for (given, param) in [
            (json!({ "response_format": {"type": "yaml"} }), "response_format"),
            (json!({ "response_format": {"type": "json_schema"} }), "response_format"),
            (
                json!({ "response_format": {"type": "json_schema", "json_schema": {"name": "x"}} }),
                "response_format",
            ),
            (json!({ "structured_outputs": {} }), "structured_outputs"),
            (json!({ "structured_outputs": {"regex": "a", "choice": ["a"]} }), "structured_outputs"),
            (json!({ "structured_outputs": {"grammar": "a"} }), "grammar"),
        ] {
            assert_eq!(read(given.clone()).unwrap_err().param.as_deref(), Some(param), "{given}");
        }
    }
}
