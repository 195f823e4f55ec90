//! Log-probabilities as answers have them: of chats by token with its bytes, of plain completions as parallel arrays.

use samp_runtime::{Sampled, Tokenizer};
use serde_json::{Value, json};

use super::prompt_token::PromptToken;

/// JSON has no infinity: a token without any chance is given one of this logarithm, as OpenAI's answers do.
const NO_CHANCE: f32 = -9999.0;

fn number(logprob: f32) -> f32 {
    if logprob.is_finite() { logprob } else { NO_CHANCE }
}

/// The text of a token alone: what of it is not text shows as U+FFFD.
fn text(tokenizer: &Tokenizer, token: u32) -> String {
    String::from_utf8_lossy(&tokenizer.token_bytes(token).unwrap_or_default()).into_owned()
}

/// `choices[].prompt_logprobs` as vLLM has it: of each of the prompt's tokens, the first aside, itself and the likeliest in its
/// place by their ids.
pub fn prompt_logprobs(tokenizer: &Tokenizer, prompt: &[u32], known: &[PromptToken]) -> Value {
    let entry = |token: u32, logprob: f32| {
        let said = json!({ "logprob": number(logprob), "decoded_token": text(tokenizer, token) });
        (token.to_string(), said)
    };
    let row = |(token, known): (&u32, &PromptToken)| -> Value {
        let top = known.top.iter().map(|(token, logprob)| entry(*token, *logprob));
        let all: serde_json::Map<String, Value> = top.chain([entry(*token, known.logprob)]).collect();
        Value::Object(all)
    };
    let rows = prompt.iter().skip(1).zip(known).map(row);
    [Value::Null].into_iter().chain(rows).collect()
}

/// `choices[].logprobs` of a chat.
#[derive(Default)]
pub struct ChatLogprobs {
    content: Vec<Value>,
}

impl ChatLogprobs {
    /// Adds a token and the likeliest in its place.
    pub fn push(&mut self, tokenizer: &Tokenizer, sampled: &Sampled) {
        let entry = |token: u32, logprob: f32| {
            let bytes = tokenizer.token_bytes(token).unwrap_or_default();
            json!({ "token": String::from_utf8_lossy(&bytes), "logprob": number(logprob), "bytes": bytes })
        };
        let mut token = entry(sampled.token, sampled.logprob);
        token["top_logprobs"] = sampled.top.iter().map(|(token, logprob)| entry(*token, *logprob)).collect();
        self.content.push(token);
    }

    /// As JSON.
    pub fn into_value(self) -> Value {
        json!({ "content": self.content, "refusal": null })
    }
}

/// `choices[].logprobs` of a plain completion.
#[derive(Default)]
pub struct TextLogprobs {
    tokens: Vec<String>,
    logprobs: Vec<Option<f32>>,
    top: Vec<Value>,
    offsets: Vec<usize>,
}

impl TextLogprobs {
    /// Adds a token that begins at a character of the text; the first token of a text has no log-probability.
    pub fn push(
        &mut self,
        tokenizer: &Tokenizer,
        token: u32,
        known: Option<(f32, &[(u32, f32)])>,
        offset: usize,
    ) {
        self.tokens.push(text(tokenizer, token));
        self.offsets.push(offset);
        self.logprobs.push(known.map(|(logprob, _)| number(logprob)));
        let top = known.map_or(Value::Null, |(logprob, top)| {
            let mut likeliest: serde_json::Map<String, Value> = serde_json::Map::new();
            for (token, logprob) in top.iter().copied().chain((!top.is_empty()).then_some((token, logprob))) {
                likeliest.entry(text(tokenizer, token)).or_insert_with(|| json!(number(logprob)));
            }
            Value::Object(likeliest)
        });
        self.top.push(top);
    }

    /// As JSON.
    pub fn into_value(self) -> Value {
        let TextLogprobs { tokens, logprobs, top, offsets } = self;
        json!({ "tokens": tokens, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": offsets })
    }
}
