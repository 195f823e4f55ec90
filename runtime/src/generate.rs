//! Generation: tokens to text until something says stop.
//!
//! [`Completion`] is the state of one request apart from the engine, so that a server can drive many over one;
//! [`generate`] drives one to its end, and [`generate_in`] one whose prompt begins as a sequence in the cache does.

use std::ops::{ControlFlow, Deref};

use samp_abi::plan::Plan;
use samp_kernels::sample::{SampleRequest, SampledToken};

use crate::{
    batch::Outputs,
    cached_sequence::CachedSequence,
    detokenize::Detokenizer,
    engine::Engine,
    error::EngineError,
    error_code,
    sample::{Sampled, Sampler, Sampling, SamplingContext, SamplingError, TokenMask},
    sequence_id::SequenceId,
    stop_texts::StopTexts,
    tokenizer::{SpecialTokens, Tokenizer, TokenizerError},
};

/// What to generate.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The tokens to continue; at least one.
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; the plan's context may end it sooner.
    pub max_tokens: usize,
    /// Texts that end it. They are not part of the result.
    pub stop: Vec<String>,
    /// Tokens that end it, besides the model's own.
    pub stop_tokens: Vec<u32>,
    /// Whether to go on after the model's end-of-text tokens.
    pub ignore_eos: bool,
    /// Tokens that come before anything may end it but `max_tokens`: until then no token that ends it is chosen, and stop texts
    /// are not looked for.
    pub min_tokens: usize,
    /// Added to the logits of tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Whether special tokens that do not end it are part of the text; else they are left out.
    pub show_special: bool,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// An end-of-text token, a stop token or a stop text.
    Stop,
    /// As many tokens as asked for.
    Length,
    /// As many tokens as the plan's context holds, and fewer than asked for.
    ContextFull,
    /// The caller broke off.
    Cancelled,
}

/// Why generation failed.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Nothing to continue.
    #[error("the prompt has no tokens; give some text, or a tokenizer that begins texts with a token")]
    EmptyPrompt,
    /// A stop text that every text contains.
    #[error("a stop text is empty; leave it out")]
    EmptyStop,
    /// The prompt fills the context.
    #[error(
        "the prompt has {tokens} tokens; the plan's context of {limit} has room for one of at most {} and an answer: \
         shorten it, or compile the model with a larger --max-model-len",
        limit.saturating_sub(1)
    )]
    NoRoom {
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions of a sequence.
        limit: u64,
    },
    /// From the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// From the sampler.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// From the tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl GenerateError {
    /// Stable code for people, `E14` and two digits.
    pub fn code(&self) -> &'static str {
        match self {
            GenerateError::EmptyPrompt => error_code::EMPTY_PROMPT,
            GenerateError::EmptyStop => error_code::EMPTY_STOP,
            GenerateError::NoRoom { .. } => error_code::NO_ROOM,
            GenerateError::Engine(error) => error.code(),
            GenerateError::Sampling(error) => error.code(),
            GenerateError::Tokenizer(error) => error.code(),
        }
    }
}

/// What one more token brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// The token with its log-probability.
    pub sampled: Sampled,
    /// Text that is certain now; may be empty.
    pub text: String,
    /// Set with the last one.
    pub finish: Option<Finish>,
}

impl Delta {
    /// Id of the token.
    pub fn token(&self) -> u32 {
        self.sampled.token
    }
}

/// A request on its way. `T` is how it holds the tokenizer: `&Tokenizer`, or `Arc<Tokenizer>` where it is to outlive the
/// caller or to move to another thread.
pub struct Completion<T> {
    request: Request,
    sampler: Sampler,
    detokenizer: Option<Detokenizer<T>>,
    stops: StopTexts,
    ends: Vec<u32>,
    /// The prompt and the tokens so far.
    history: Vec<u32>,
    room: usize,
    finish: Option<Finish>,
}

impl<T: Deref<Target = Tokenizer>> Completion<T> {
    /// Checks a request against the plan.
    pub fn new(tokenizer: T, plan: &Plan, request: Request) -> Result<Completion<T>, GenerateError> {
        let (tokens, limit) = (request.prompt.len(), plan.limits.max_context);
        if tokens == 0 {
            return Err(GenerateError::EmptyPrompt);
        }
        if request.stop.iter().any(String::is_empty) {
            return Err(GenerateError::EmptyStop);
        }
        if tokens as u64 >= limit {
            return Err(GenerateError::NoRoom { tokens, limit });
        }
        let room = request.max_tokens.min(limit as usize - tokens);
        let mut ends = request.stop_tokens.clone();
        if !request.ignore_eos {
            ends.extend(&plan.model.eos_token_ids);
        }
        let special = if request.show_special { SpecialTokens::Keep } else { SpecialTokens::Skip };
        Ok(Completion {
            sampler: Sampler::new(request.sampling)?,
            detokenizer: Some(Detokenizer::new(tokenizer, special)),
            stops: StopTexts::new(request.stop.clone()),
            ends,
            history: request.prompt.clone(),
            room,
            finish: (room == 0).then_some(Finish::Length),
            request,
        })
    }

    /// The tokens that are continued.
    pub fn prompt(&self) -> &[u32] {
        &self.request.prompt
    }

    /// The tokens generated so far.
    pub fn tokens(&self) -> &[u32] {
        &self.history[self.request.prompt.len()..]
    }

    /// The tokens that a sequence of its own lacks yet: at first the prompt, then the last token.
    pub fn pending(&self) -> &[u32] {
        if self.tokens().is_empty() { self.prompt() } else { &self.history[self.history.len() - 1..] }
    }

    /// Why it ended, once it has.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// The prompt and the tokens generated so far: what a sequence that lost its positions is to hold again.
    pub fn history(&self) -> &[u32] {
        &self.history
    }

    /// Chooses the next token from the logits after the last one. Not to be called after the end.
    pub fn accept(&mut self, logits: &[f32]) -> Result<Delta, GenerateError> {
        self.accept_allowed(logits, None)
    }

    /// [`Completion::accept`] among the tokens that `allowed` has.
    pub fn accept_allowed(
        &mut self,
        logits: &[f32],
        allowed: Option<TokenMask<'_>>,
    ) -> Result<Delta, GenerateError> {
        let banned = if self.is_short() { self.ends.as_slice() } else { &[] };
        let (history, generated) = (self.history.as_slice(), self.tokens().len());
        let bias = self.request.logit_bias.as_slice();
        let context = SamplingContext { history, generated, bias, banned, allowed };
        let sampled = self.sampler.sample_in(logits, &context)?;
        self.append(sampled)
    }

    /// Whether fewer tokens have come than must.
    fn is_short(&self) -> bool {
        self.tokens().len() < self.request.min_tokens
    }

    /// What a device needs to choose the next token itself; `None` where the logits are needed for it.
    pub fn sample_request(&self) -> Option<SampleRequest> {
        let simple = !self.is_short() && self.request.logit_bias.is_empty();
        self.sampler.sample_request().filter(|_| simple)
    }

    /// Takes the token that a device chose by [`Completion::sample_request`]. Not to be called after the end.
    pub fn accept_sampled(&mut self, sampled: Option<SampledToken>) -> Result<Delta, GenerateError> {
        let sampled = self.sampler.accept(sampled)?;
        self.append(sampled)
    }

    /// Appends what is pending to `sequence`, and chooses the next token: one more step of this request alone. Not to be
    /// called after the end.
    pub fn step(&mut self, engine: &mut Engine, sequence: SequenceId) -> Result<Delta, GenerateError> {
        match self.sample_request() {
            Some(request) => {
                let sampled = engine.append_and_sample(sequence, self.pending(), request)?;
                self.accept_sampled(sampled)
            }
            None => {
                let logits = engine.append_tokens(sequence, self.pending(), Outputs::Last)?;
                self.accept(logits.row(0))
            }
        }
    }

    fn append(&mut self, sampled: Sampled) -> Result<Delta, GenerateError> {
        let token = sampled.token;
        let short = self.is_short();
        self.history.push(token);
        let ended = self.ends.contains(&token);
        let mut text = String::new();
        if let Some(detokenizer) = self.detokenizer.as_mut().filter(|_| !ended) {
            text = detokenizer.push(token)?;
            if !short {
                text = self.stops.push(&text);
            }
        }
        self.finish = if ended || self.stops.hit { Some(Finish::Stop) } else { self.end_of_room() };
        if self.finish.is_some() {
            text.push_str(&self.flush()?);
        }
        Ok(Delta { sampled, text, finish: self.finish })
    }

    /// Why no more tokens can come, if none can.
    fn end_of_room(&self) -> Option<Finish> {
        let full = if self.room < self.request.max_tokens { Finish::ContextFull } else { Finish::Length };
        (self.tokens().len() >= self.room).then_some(full)
    }

    /// The text held back for a character or a stop text that did not come.
    fn flush(&mut self) -> Result<String, GenerateError> {
        let Some(detokenizer) = self.detokenizer.take() else { return Ok(String::new()) };
        let mut text = self.stops.push(&detokenizer.finish()?);
        if self.stops.hit {
            self.finish = Some(Finish::Stop);
        } else {
            text.push_str(&self.stops.finish());
        }
        Ok(text)
    }
}

/// A finished generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Text of the tokens, up to what ended it.
    pub text: String,
    /// The tokens, the one that ended it included.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Generates in a sequence of its own; `on_delta` sees every token as it comes and may break off.
pub fn generate(
    engine: &mut Engine,
    tokenizer: &Tokenizer,
    request: Request,
    on_delta: impl FnMut(&Delta) -> ControlFlow<()>,
) -> Result<Generated, GenerateError> {
    let completion = Completion::new(tokenizer, engine.plan().manifest(), request)?;
    let mut sequence = CachedSequence::new(engine)?;
    let generated = run(engine, &mut sequence, completion, on_delta);
    engine.release(sequence.id());
    generated
}

/// [`generate`] in a sequence that stays: the part of the prompt that it holds already is not computed again, and afterwards
/// it holds the prompt and the answer, but for the answer's last token.
pub fn generate_in(
    engine: &mut Engine,
    sequence: &mut CachedSequence,
    tokenizer: &Tokenizer,
    request: Request,
    on_delta: impl FnMut(&Delta) -> ControlFlow<()>,
) -> Result<Generated, GenerateError> {
    let completion = Completion::new(tokenizer, engine.plan().manifest(), request)?;
    run(engine, sequence, completion, on_delta)
}

/// Drives `completion` to its end.
fn run(
    engine: &mut Engine,
    sequence: &mut CachedSequence,
    mut completion: Completion<&Tokenizer>,
    mut on_delta: impl FnMut(&Delta) -> ControlFlow<()>,
) -> Result<Generated, GenerateError> {
    let mut text = String::new();
    let mut finish = completion.finish();
    let kept = sequence.keep_beginning(engine, completion.prompt())?;
    let mut pending = completion.prompt()[kept..].to_vec();
    while finish.is_none() {
        let delta = match completion.sample_request() {
            Some(request) => {
                let sampled = engine.append_and_sample(sequence.id(), &pending, request)?;
                sequence.appended(&pending);
                completion.accept_sampled(sampled)?
            }
            None => {
                let logits = engine.append_tokens(sequence.id(), &pending, Outputs::Last)?;
                sequence.appended(&pending);
                completion.accept(logits.row(0))?
            }
        };
        text.push_str(&delta.text);
        pending = vec![delta.token()];
        finish = delta.finish;
        if on_delta(&delta).is_break() {
            finish = finish.or(Some(Finish::Cancelled));
        }
    }
    let tokens = completion.tokens().to_vec();
    Ok(Generated { text, tokens, finish: finish.unwrap_or(Finish::Cancelled) })
}
