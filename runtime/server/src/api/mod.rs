//! The bodies of OpenAI's API: what a request may say, and how answers are written.

mod chat;
mod completions;
mod error;
mod fields;
mod form;
mod logprobs;
mod message;
mod prompt_token;
mod settings;
mod tokenize;
mod tools;

#[cfg(test)]
pub(crate) use self::fields::asked_fields;
pub use self::{
    chat::ChatRequest,
    completions::{CompletionPrompt, CompletionRequest},
    error::{ApiError, ErrorKind},
    fields::Fields,
    form::AnswerForm,
    logprobs::{ChatLogprobs, TextLogprobs, prompt_logprobs},
    prompt_token::PromptToken,
    settings::{MAX_TOP_LOGPROBS, Settings, Streaming},
    tokenize::{DetokenizeRequest, TokenizeInput, TokenizeRequest},
    tools::{Function, ToolChoice, Tools},
};
