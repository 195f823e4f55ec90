//! Answers of a given form: a JSON schema or a pattern becomes a regular expression over bytes, and before each token those
//! tokens are ruled out that no text of the form goes on with.

mod automaton;
mod choice;
mod json;
mod ordered;
mod pattern;
mod schema;
mod vocabulary;

pub use self::{
    automaton::{Form, FormState, TooIntricate},
    choice::{arguments_expression, form_expression},
    ordered::Ordered,
    vocabulary::Vocabulary,
};
