//! Tools that a model may call: how a family of models writes its calls, and how they are read back while they come.
//!
//! A template renders the tools ([`samp_runtime::ChatTemplate`]); the model answers with calls in the way that it was trained
//! on ([`ToolStyle`]). [`ToolParser`] tells calls from text; where a call is asked for, the answer's form is that of calls
//! ([`calls_expression`]). [`ToolUse`] is all of it for one request.

mod asked;
mod expression;
mod parser;
mod scanner;
mod style;

pub use self::{
    asked::ToolUse,
    expression::calls_expression,
    parser::{Piece, ToolParser},
    style::ToolStyle,
};
