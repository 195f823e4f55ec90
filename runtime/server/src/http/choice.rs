//! One of a request's choices, as tokens come: what is new of it, and all of it.

use samp_runtime::{Delta, Finish, Tokenizer};
use serde_json::{Value, json};

use super::tool_calls::ToolCalls;
use crate::api::{ChatLogprobs, PromptToken, TextLogprobs};

/// Which API an answer is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
}

/// The log-probabilities that a choice has gathered.
enum Gathered {
    Nothing,
    Chat(ChatLogprobs),
    Text(TextLogprobs),
}

/// One choice.
pub struct Choice {
    index: usize,
    kind: AnswerKind,
    /// Whether log-probabilities are wanted.
    logprobs: bool,
    gathered: Gathered,
    text: String,
    /// The calls of tools that it makes, where it may make any.
    calls: Option<ToolCalls>,
    /// Ids of the tokens, where they are wanted.
    token_ids: Option<Vec<u32>>,
    /// Characters of the tokens so far, where log-probabilities say where each begins.
    characters: usize,
    /// What is known of the prompt's tokens, where that was asked for.
    pub prompt_logprobs: Option<Value>,
    /// Tokens so far.
    pub tokens: usize,
    /// Positions of the prompt that were computed before.
    pub cached: usize,
    /// Why it ended.
    pub finish: Option<Finish>,
}

impl Choice {
    /// Nothing has come yet.
    pub fn new(
        index: usize,
        kind: AnswerKind,
        logprobs: bool,
        token_ids: bool,
        calls: Option<ToolCalls>,
    ) -> Choice {
        let mut choice = Choice {
            index,
            kind,
            logprobs,
            gathered: Gathered::Nothing,
            text: String::new(),
            calls,
            token_ids: token_ids.then(Vec::new),
            characters: 0,
            prompt_logprobs: None,
            tokens: 0,
            cached: 0,
            finish: None,
        };
        choice.gathered = choice.empty();
        choice
    }

    fn empty(&self) -> Gathered {
        match (self.logprobs, self.kind) {
            (false, _) => Gathered::Nothing,
            (true, AnswerKind::Chat) => Gathered::Chat(ChatLogprobs::default()),
            (true, AnswerKind::Text) => Gathered::Text(TextLogprobs::default()),
        }
    }

    /// The prompt stands before the answer: its text, and what is known of its tokens after the first.
    pub fn echo(&mut self, tokenizer: &Tokenizer, prompt: &[u32], text: &str, known: &[PromptToken]) {
        self.text.push_str(text);
        if let Gathered::Text(gathered) = &mut self.gathered {
            let known = [None].into_iter().chain(known.iter().map(Some));
            for (token, known) in prompt.iter().zip(known) {
                let known = known.map(|known| (known.logprob, known.top.as_slice()));
                gathered.push(tokenizer, *token, known, self.characters);
                self.characters += characters(tokenizer, *token);
            }
        }
    }

    /// A token came.
    pub fn push(&mut self, tokenizer: &Tokenizer, delta: &Delta) {
        self.tokens += 1;
        self.finish = delta.finish;
        match &mut self.calls {
            Some(calls) => self.text.push_str(&calls.push(&delta.text, delta.finish.is_some())),
            None => self.text.push_str(&delta.text),
        }
        if let Some(ids) = &mut self.token_ids {
            ids.push(delta.token());
        }
        let sampled = &delta.sampled;
        match &mut self.gathered {
            Gathered::Nothing => {}
            Gathered::Chat(gathered) => gathered.push(tokenizer, sampled),
            Gathered::Text(gathered) => {
                let known = Some((sampled.logprob, sampled.top.as_slice()));
                gathered.push(tokenizer, sampled.token, known, self.characters);
                self.characters += characters(tokenizer, sampled.token);
            }
        }
    }

    /// Whether there is something to say that was not said before.
    pub fn has_news(&self) -> bool {
        let calls = self.calls.as_ref().is_some_and(ToolCalls::has_news);
        self.logprobs || self.token_ids.is_some() || !self.text.is_empty() || calls || self.finish.is_some()
    }

    /// What is new, as an element of `choices` in an event.
    pub fn news(&mut self) -> Value {
        let (logprobs, text) = (self.take_logprobs(), std::mem::take(&mut self.text));
        let reason = self.finish_reason();
        match self.kind {
            AnswerKind::Chat => {
                let mut delta = if text.is_empty() { json!({}) } else { json!({ "content": text }) };
                if let Some(calls) = self.calls.as_mut().filter(|calls| calls.has_news()) {
                    delta["tool_calls"] = calls.news();
                }
                json!({ "index": self.index, "delta": delta, "logprobs": logprobs, "finish_reason": reason })
            }
            AnswerKind::Text => self.text_choice(text, logprobs, reason),
        }
    }

    /// The beginning of a chat's choice: who speaks.
    pub fn opening(&self) -> Value {
        json!({
            "index": self.index,
            "delta": { "role": "assistant", "content": "" },
            "logprobs": null,
            "finish_reason": null,
        })
    }

    /// All of it, as an element of `choices`.
    pub fn whole(mut self) -> Value {
        let (logprobs, text) = (self.take_logprobs(), std::mem::take(&mut self.text));
        let reason = self.finish_reason();
        match self.kind {
            AnswerKind::Chat => {
                let mut message =
                    json!({ "role": "assistant", "content": text, "refusal": null, "annotations": [] });
                if let Some(calls) = self.calls.take().filter(ToolCalls::any) {
                    message["tool_calls"] = calls.whole();
                    if text.is_empty() {
                        message["content"] = Value::Null;
                    }
                }
                json!({ "index": self.index, "message": message, "logprobs": logprobs, "finish_reason": reason })
            }
            AnswerKind::Text => self.text_choice(text, logprobs, reason),
        }
    }

    fn text_choice(&mut self, text: String, logprobs: Value, reason: Value) -> Value {
        let mut choice =
            json!({ "index": self.index, "text": text, "logprobs": logprobs, "finish_reason": reason });
        if let Some(known) = self.prompt_logprobs.take() {
            choice["prompt_logprobs"] = known;
        }
        if let Some(ids) = &mut self.token_ids {
            choice["token_ids"] = json!(std::mem::take(ids));
        }
        choice
    }

    fn take_logprobs(&mut self) -> Value {
        let empty = self.empty();
        match std::mem::replace(&mut self.gathered, empty) {
            Gathered::Nothing => Value::Null,
            Gathered::Chat(gathered) => gathered.into_value(),
            Gathered::Text(gathered) => gathered.into_value(),
        }
    }

    fn finish_reason(&self) -> Value {
        match self.finish {
            None => Value::Null,
            Some(Finish::Stop) if self.calls.as_ref().is_some_and(ToolCalls::any) => json!("tool_calls"),
            Some(Finish::Stop) => json!("stop"),
            Some(Finish::Length | Finish::ContextFull) => json!("length"),
            Some(Finish::Cancelled) => json!("cancelled"),
        }
    }
}

fn characters(tokenizer: &Tokenizer, token: u32) -> usize {
    String::from_utf8_lossy(&tokenizer.token_bytes(token).unwrap_or_default()).chars().count()
}
