//! The body of `/v1/completions`.

use serde_json::Value;

use super::{
    error::ApiError,
    fields::{Fields, token_ids},
    settings::{MAX_TOP_LOGPROBS, Settings},
};

/// Tokens of an answer where nothing is said.
const DEFAULT_MAX_TOKENS: usize = 16;
/// Prompts of a request.
const MAX_PROMPTS: usize = 256;

/// What is to be continued.
#[derive(Clone, Debug, PartialEq)]
pub enum CompletionPrompt {
    /// A text.
    Text(String),
    /// Tokens.
    Tokens(Vec<u32>),
}

/// Texts to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionRequest {
    /// The texts, at least one.
    pub prompts: Vec<CompletionPrompt>,
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// Whether the prompt stands before the answer.
    pub echo: bool,
    /// Of how many of the likeliest tokens the log-probabilities are wanted, if they are at all.
    pub logprobs: Option<usize>,
    /// Of how many of the likeliest tokens in place of each of the prompt's own the log-probabilities are wanted, if they are.
    pub prompt_logprobs: Option<usize>,
    /// Whether the token that begins texts is added to a text.
    pub add_special_tokens: bool,
    /// Whether the answer has the ids of its tokens.
    pub return_token_ids: bool,
    /// What it has in common with chat completions.
    pub settings: Settings,
}

impl CompletionRequest {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<CompletionRequest, ApiError> {
        let mut fields = Fields::parse(body)?;
        let settings = Settings::read(&mut fields, body)?;
        let request = CompletionRequest {
            prompts: prompts(&mut fields)?,
            max_tokens: fields.count("max_tokens", 0..=u64::MAX)?.unwrap_or(DEFAULT_MAX_TOKENS),
            echo: fields.flag("echo")?.unwrap_or(false),
            logprobs: fields.count("logprobs", 0..=MAX_TOP_LOGPROBS as u64)?,
            prompt_logprobs: fields.count("prompt_logprobs", 0..=MAX_TOP_LOGPROBS as u64)?,
            add_special_tokens: fields.flag("add_special_tokens")?.unwrap_or(true),
            return_token_ids: fields.flag("return_token_ids")?.unwrap_or(false),
            settings,
        };
        if request.prompt_logprobs.is_some() && (request.settings.streaming.stream || request.echo) {
            let message = "allowed only where neither stream nor echo is true";
            return Err(ApiError::field("prompt_logprobs", message));
        }
        let n = request.settings.n as u64;
        fields.neutral("best_of", |best_of| best_of.as_u64() == Some(n))?;
        fields.neutral("suffix", |suffix| suffix == "")?;
        fields.finish()?;
        Ok(request)
    }
}

fn prompts(fields: &mut Fields) -> Result<Vec<CompletionPrompt>, ApiError> {
    let given = fields.take("prompt").unwrap_or_default();
    let several = |prompts: &[Value]| (1..=MAX_PROMPTS).contains(&prompts.len());
    let prompts = match &given {
        Value::String(text) => Some(vec![CompletionPrompt::Text(text.clone())]),
        Value::Array(tokens) if tokens.first().is_some_and(Value::is_number) => {
            token_ids(&given).map(|tokens| vec![CompletionPrompt::Tokens(tokens)])
        }
        Value::Array(prompts) if several(prompts) => prompts.iter().map(prompt).collect(),
        _ => None,
    };
    let expected =
        format!("expected a text, an array of token ids, or an array of at most {MAX_PROMPTS} of them");
    prompts.ok_or_else(|| ApiError::field("prompt", expected))
}

fn prompt(value: &Value) -> Option<CompletionPrompt> {
    match value {
        Value::String(text) => Some(CompletionPrompt::Text(text.clone())),
        tokens => token_ids(tokens).map(CompletionPrompt::Tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<CompletionRequest, ApiError> {
        CompletionRequest::parse(value.to_string().as_bytes())
    }

    #[test]
    fn prompts_are_texts_or_tokens_one_or_several() {
        let text = |text: &str| CompletionPrompt::Text(text.into());
        let tokens = CompletionPrompt::Tokens(vec![1, 2]);
        for (given, expected) in [
            (json!("a"), vec![text("a")]),
            (json!([1, 2]), vec![tokens.clone()]),
            (json!(["a", "b"]), vec![text("a"), text("b")]),
            (json!([[1, 2], "b"]), vec![tokens, text("b")]),
        ] {
            assert_eq!(parse(json!({ "prompt": given })).unwrap().prompts, expected);
        }
        for wrong in
            [json!(null), json!([]), json!([1, -2]), json!([1, "a"]), json!({"a": 1}), json!([[1.5]])]
        {
            assert_eq!(parse(json!({ "prompt": wrong })).unwrap_err().param.as_deref(), Some("prompt"));
        }
    }

    #[test]
    fn what_is_not_done_is_refused() {
        let request = parse(json!({ "prompt": "a", "best_of": 1, "suffix": null, "logprobs": 0 })).unwrap();
        assert_eq!((request.max_tokens, request.logprobs), (DEFAULT_MAX_TOKENS, Some(0)));
        assert_eq!(
            parse(json!({ "prompt": "a", "suffix": "b" })).unwrap_err().param.as_deref(),
            Some("suffix")
        );
        let streamed = json!({ "prompt": "a", "prompt_logprobs": 1, "stream": true });
        assert_eq!(parse(streamed).unwrap_err().param.as_deref(), Some("prompt_logprobs"));
        assert_eq!(
            parse(json!({ "prompt": "a", "best_of": 3 })).unwrap_err().param.as_deref(),
            Some("best_of")
        );
    }
}
