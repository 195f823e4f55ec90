//! The bodies of `/tokenize` and `/detokenize`, as vLLM has them.

use samp_runtime::{Message, TemplateValue};

use super::{chat::ChatRequest, error::ApiError, fields::Fields};

/// What is to become tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenizeInput {
    /// A text, and whether the token that begins texts is added.
    Text(String, bool),
    /// A conversation, with the tools that may be called in it.
    Messages(Vec<Message>, Option<TemplateValue>),
}

/// A text or a conversation to become tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizeRequest {
    /// What it is.
    pub input: TokenizeInput,
    /// The model's name.
    pub model: Option<String>,
}

impl TokenizeRequest {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<TokenizeRequest, ApiError> {
        let mut fields = Fields::parse(body)?;
        let Some(prompt) = fields.text("prompt")? else {
            let ChatRequest { messages, tools, settings, .. } = ChatRequest::parse(body)?;
            let input = TokenizeInput::Messages(messages, tools.map(|tools| tools.shown));
            return Ok(TokenizeRequest { input, model: settings.model });
        };
        let model = fields.text("model")?;
        let special = fields.flag("add_special_tokens")?.unwrap_or(true);
        fields.finish()?;
        Ok(TokenizeRequest { input: TokenizeInput::Text(prompt, special), model })
    }
}

/// Tokens to become a text.
#[derive(Clone, Debug, PartialEq)]
pub struct DetokenizeRequest {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// The model's name.
    pub model: Option<String>,
}

impl DetokenizeRequest {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<DetokenizeRequest, ApiError> {
        let mut fields = Fields::parse(body)?;
        let model = fields.text("model")?;
        let tokens = fields.tokens("tokens")?;
        fields.finish()?;
        let tokens = tokens.ok_or_else(|| ApiError::field("tokens", "expected an array of token ids"))?;
        Ok(DetokenizeRequest { tokens, model })
    }
}
