//! A job: one sequence to be continued, and who is told of its tokens.

use std::sync::Arc;

use samp_runtime::{Completion, Delta, GenerateError, Output, TokenMask, Tokenizer};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    api::PromptToken,
    constrain::{FormState, TooIntricate},
    error_code,
    judge::ShadowSample,
    observe::{Ticket, Timing},
    schedule::JobId,
    verify::LogprobRecord,
};

/// What a job asks for beside its completion.
#[derive(Clone, Debug, Default)]
pub struct JobOptions {
    /// Only jobs of the same salt share computed beginnings.
    pub salt: Vec<u8>,
    /// Whether the log-probabilities of the prompt's tokens are wanted, and of how many of the likeliest besides.
    pub prompt_logprobs: Option<usize>,
}

/// One sequence to be continued.
pub struct Job {
    /// Which of the request's choices.
    pub choice: usize,
    /// The request, and what has been generated so far.
    pub completion: Completion<Arc<Tokenizer>>,
    /// What it asks for besides.
    pub options: JobOptions,
    /// How far the answer has come in the form that it is to have, if it is to have one.
    pub form: Option<FormState>,
    /// The positions that are kept for the judge, if it is to score the answer.
    pub shadow: Option<ShadowSample>,
    /// The log-probabilities that are kept for the verifier, if the answer is to be computed again.
    pub verify: Option<LogprobRecord>,
    /// Who is told. Where nobody listens any more, the job is given up.
    pub events: UnboundedSender<Event>,
    /// The request's account; none of what the server asks itself.
    pub ticket: Option<Arc<Ticket>>,
}

impl Job {
    /// What the server asks itself.
    pub fn of_server(
        completion: Completion<Arc<Tokenizer>>,
        options: JobOptions,
        events: UnboundedSender<Event>,
    ) -> Job {
        Job { choice: 0, completion, options, form: None, shadow: None, verify: None, events, ticket: None }
    }

    /// Whether the device chooses the next token; else the logits are needed for it.
    pub(super) fn is_sampled_on_device(&self) -> bool {
        self.form.is_none() && self.completion.sample_request().is_some()
    }

    /// Takes the next token as a step gave it.
    pub(super) fn take(&mut self, output: Output) -> Result<Delta, JobFailure> {
        let Output { sampled, logits } = output;
        let accepted = match &logits {
            Some(logits) if !self.is_sampled_on_device() => self.accept(logits),
            _ => self.completion.accept_sampled(sampled).map_err(JobFailure::from),
        };
        if let Some(shadow) = &mut self.shadow {
            shadow.take(logits);
        }
        if let (Some(verify), Ok(delta)) = (&mut self.verify, &accepted) {
            verify.push(&delta.sampled);
        }
        accepted
    }

    /// Chooses the next token from the logits, among those that go on with the form of the answer.
    fn accept(&mut self, logits: &[f32]) -> Result<Delta, JobFailure> {
        let Some(form) = &mut self.form else { return Ok(self.completion.accept(logits)?) };
        let allowed = form.allowed()?;
        let delta = self.completion.accept_allowed(logits, Some(TokenMask(&allowed)))?;
        form.advance(delta.token())?;
        Ok(delta)
    }
}

/// What a job's owner is told.
pub enum Event {
    /// The prompt's tokens after the first, as the model sees them.
    Prompt(usize, Vec<PromptToken>),
    /// A token came for a choice.
    Token(usize, Delta),
    /// A choice ended, with the times that it took.
    Done(usize, Timing),
    /// A choice failed.
    Failed(JobFailure),
}

/// Why a choice came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    /// The stable code.
    pub code: &'static str,
    /// What went wrong.
    pub message: String,
    /// Whether the engine cannot go on, so that the server ends.
    pub fatal: bool,
}

impl From<GenerateError> for JobFailure {
    fn from(error: GenerateError) -> JobFailure {
        JobFailure { code: error.code(), message: error.to_string(), fatal: false }
    }
}

impl From<TooIntricate> for JobFailure {
    fn from(error: TooIntricate) -> JobFailure {
        JobFailure { code: error_code::INTRICATE_FORM, message: error.to_string(), fatal: false }
    }
}

/// A job on the engine's thread.
pub(super) struct Active {
    pub id: JobId,
    pub job: Job,
    pub timing: Timing,
    /// Rows of the prompt that are known so far, where they were asked for.
    pub prompt_rows: Vec<PromptToken>,
    /// Whether the request's ticket says that it runs.
    pub started: bool,
}

impl Active {
    /// Tells the owner; `false` if nobody listens.
    pub fn tell(&self, event: Event) -> bool {
        self.job.events.send(event).is_ok()
    }
}
