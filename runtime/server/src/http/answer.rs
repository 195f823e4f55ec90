//! A request's answer: its choices, what they used, and how they are written.

use std::sync::Arc;

use samp_runtime::Finish;
use serde_json::{Value, json};

use super::{
    app::App,
    choice::{AnswerKind, Choice},
};
use crate::{
    api::{ApiError, ErrorKind, PromptToken, Streaming, prompt_logprobs},
    engine::{Event, JobFailure},
    observe::{Outcome, Ticket, Timing},
};

/// A prompt that stands before its answers.
pub struct Echo {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Its text.
    pub text: String,
    /// Whether the log-probabilities of its tokens are to come.
    pub scored: bool,
}

/// What is known of an answer before its first token.
pub struct AnswerHead {
    /// Which API it is written for.
    pub kind: AnswerKind,
    /// The digest of the plan that answers.
    pub fingerprint: String,
    /// What the answer is called.
    pub id: String,
    /// When it was asked for, in seconds since 1970.
    pub created: u64,
    /// The model's name, as the request has it.
    pub model: String,
    /// How it is sent.
    pub streaming: Streaming,
    /// What kind of request it is, if its client says.
    pub stratum: Option<String>,
    /// Tokens of all prompts.
    pub prompt_tokens: usize,
    /// Choices of each prompt.
    pub choices_of_prompt: usize,
    /// The prompts, where they stand before the answers.
    pub echoes: Vec<Echo>,
    /// The prompts, where what is known of their tokens stands beside the answers.
    pub scored_prompts: Vec<Vec<u32>>,
}

/// An answer on its way.
pub struct Answer {
    app: Arc<App>,
    ticket: Arc<Ticket>,
    head: AnswerHead,
    choices: Vec<Choice>,
    done: usize,
}

impl Answer {
    /// Nothing has come yet.
    pub fn new(app: Arc<App>, ticket: Arc<Ticket>, head: AnswerHead, choices: Vec<Choice>) -> Answer {
        let mut answer = Answer { app, ticket, head, choices, done: 0 };
        for choice in 0..answer.choices.len() {
            answer.put_prompt_logprobs(choice, &[]);
        }
        for choice in 0..answer.choices.len() {
            if answer.echo_of(choice).is_some_and(|echo| !echo.scored || echo.tokens.len() == 1) {
                answer.put_prompt(choice, &[]);
            }
        }
        answer
    }

    fn echo_of(&self, choice: usize) -> Option<&Echo> {
        self.head.echoes.get(choice / self.head.choices_of_prompt)
    }

    fn put_prompt(&mut self, choice: usize, known: &[PromptToken]) {
        let tokenizer = self.app.front.tokenizer();
        if let Some(echo) = self.head.echoes.get(choice / self.head.choices_of_prompt) {
            self.choices[choice].echo(tokenizer, &echo.tokens, &echo.text, known);
        }
    }

    fn put_prompt_logprobs(&mut self, choice: usize, known: &[PromptToken]) {
        let tokenizer = self.app.front.tokenizer();
        if let Some(prompt) = self.head.scored_prompts.get(choice / self.head.choices_of_prompt) {
            self.choices[choice].prompt_logprobs = Some(prompt_logprobs(tokenizer, prompt, known));
        }
    }

    /// Takes what the engine tells: the choice that has news, or why there is no answer.
    pub fn take(&mut self, event: Event) -> Result<Option<usize>, ApiError> {
        match event {
            Event::Prompt(choice, known) => {
                self.put_prompt(choice, &known);
                self.put_prompt_logprobs(choice, &known);
                Ok(None)
            }
            Event::Token(choice, delta) => {
                self.choices[choice].push(self.app.front.tokenizer(), &delta);
                Ok(Some(choice))
            }
            Event::Done(choice, timing) => {
                self.finish(choice, &timing);
                // A choice that no token was asked of has its prompt to show.
                Ok((self.choices[choice].tokens == 0).then_some(choice))
            }
            Event::Failed(failure) => Err(self.fail(failure)),
        }
    }

    fn finish(&mut self, choice: usize, timing: &Timing) {
        let choice = &mut self.choices[choice];
        choice.cached = timing.cached;
        choice.finish.get_or_insert(Finish::Length);
        let tokens = choice.tokens;
        self.done += 1;
        self.ticket.summarize(|summary| {
            summary.completion_tokens += tokens;
            summary.queue = summary.queue.or(timing.queued());
            summary.to_first_token = summary.to_first_token.or(timing.to_first_token());
        });
        if self.is_done() {
            let stopped = self.choices.iter().all(|choice| choice.finish == Some(Finish::Stop));
            let cached = self.cached_tokens();
            let answered: usize = self.choices.iter().map(|choice| choice.tokens).sum();
            let tokens = (self.head.prompt_tokens + answered) as u64;
            self.app.traffic.served(self.head.stratum.as_deref(), tokens);
            self.ticket.summarize(|summary| summary.cached_tokens = cached);
            self.ticket.end(if stopped { Outcome::Stop } else { Outcome::Length });
        }
    }

    fn fail(&mut self, failure: JobFailure) -> ApiError {
        self.ticket.end(if failure.fatal { Outcome::Failed } else { Outcome::Invalid });
        let kind = if failure.fatal { ErrorKind::Failed } else { ErrorKind::Invalid };
        ApiError { code: Some(failure.code), ..ApiError::new(kind, failure.message) }
    }

    /// The engine is gone.
    pub fn lost(&self) -> ApiError {
        self.ticket.end(Outcome::Failed);
        ApiError::new(ErrorKind::Failed, "the engine has failed; the server ends, to be started again")
    }

    /// Whether all choices have ended.
    pub fn is_done(&self) -> bool {
        self.done == self.choices.len()
    }

    /// The events that open a stream: of a chat, who speaks.
    pub fn openings(&self) -> Vec<Value> {
        match self.head.kind {
            AnswerKind::Text => vec![],
            AnswerKind::Chat => {
                let openings = self.choices.iter().map(Choice::opening);
                openings.map(|opening| self.event(vec![opening], None)).collect()
            }
        }
    }

    /// The event of a choice's news, if there are any.
    pub fn news(&mut self, choice: usize) -> Option<Value> {
        let choice = &mut self.choices[choice];
        if !choice.has_news() {
            return None;
        }
        let news = choice.news();
        let usage = self.head.streaming.continuous_usage.then(|| self.usage());
        Some(self.event(vec![news], usage))
    }

    /// The last event, where it is asked for: what was used.
    pub fn closing(&self) -> Option<Value> {
        self.head.streaming.include_usage.then(|| self.event(vec![], Some(self.usage())))
    }

    fn event(&self, choices: Vec<Value>, usage: Option<Value>) -> Value {
        let object = match self.head.kind {
            AnswerKind::Chat => "chat.completion.chunk",
            AnswerKind::Text => "text_completion",
        };
        let mut event = self.envelope(object, choices);
        if self.head.streaming.include_usage || usage.is_some() {
            event["usage"] = usage.unwrap_or(Value::Null);
        }
        event
    }

    /// All of it.
    pub fn whole(mut self) -> Value {
        let object = match self.head.kind {
            AnswerKind::Chat => "chat.completion",
            AnswerKind::Text => "text_completion",
        };
        let usage = self.usage();
        let choices = std::mem::take(&mut self.choices).into_iter().map(Choice::whole).collect();
        let mut whole = self.envelope(object, choices);
        whole["usage"] = usage;
        whole
    }

    fn envelope(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.head.id,
            "object": object,
            "created": self.head.created,
            "model": self.head.model,
            "system_fingerprint": self.head.fingerprint,
            "choices": choices,
        })
    }

    /// A prompt counts as cached as far as the first of its choices found it.
    fn cached_tokens(&self) -> usize {
        self.choices.iter().step_by(self.head.choices_of_prompt).map(|choice| choice.cached).sum()
    }

    fn usage(&self) -> Value {
        let completion: usize = self.choices.iter().map(|choice| choice.tokens).sum();
        json!({
            "prompt_tokens": self.head.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.head.prompt_tokens + completion,
            "prompt_tokens_details": { "cached_tokens": self.cached_tokens() },
        })
    }
}
