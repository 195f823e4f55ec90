//! What a request says of the form of its answer, as an expression.

use super::{json, schema};
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
