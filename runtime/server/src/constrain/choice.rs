//! What a request says of the form of its answer, as an expression.

use super::{json, ordered::Ordered, schema};
use crate::api::{AnswerForm, ApiError};

/// How deep an answer that is only to be a JSON object may be nested.
const OBJECT_DEPTH: usize = 4;

/// The expression of an answer's form.
pub fn form_expression(form: &AnswerForm) -> Result<String, ApiError> {
    match form {
        AnswerForm::Object => Ok(json::object(&json::value(OBJECT_DEPTH - 1))),
        AnswerForm::Schema { field, schema } => {
            schema::expression(schema).map_err(|wrong| ApiError::field(field, format!("the schema: {wrong}")))
        }
        AnswerForm::Expression(expression) => Ok(format!("(?:{expression})")),
        AnswerForm::Choice(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| regex_syntax::escape(text)).collect();
            Ok(format!("(?:{})", texts.join("|")))
        }
    }
}

/// The expression of a tool's arguments. A schema that cannot be kept is refused where it is to be kept strictly; else they are
/// any object then.
pub fn arguments_expression(parameters: Option<&Ordered>, strict: bool) -> Result<String, String> {
    let object = || json::object(&json::value(OBJECT_DEPTH - 1));
    match parameters.map(schema::expression) {
        None => Ok(object()),
        Some(Err(_)) if !strict => Ok(object()),
        Some(expression) => expression,
    }
}
