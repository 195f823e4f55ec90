//! Generation: tokens to text until something says stop.
//!
//! [`Completion`] is the state of one request apart from the engine, so that a server can drive many over one;
//! [`generate`] drives one to its end.

use std::ops::ControlFlow;

use samp_abi::plan::Plan;
use samp_kernels::sample::{SampleRequest, SampledToken};

use crate::{
    batch::Outputs,
    detokenize::Detokenizer,
    engine::Engine,
    error::EngineError,
    sample::{Sampled, Sampler, Sampling, SamplingError},
    sequence_id::SequenceId,
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
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// An end-of-text token, a stop token or a stop text.
    Stop,
    /// As many tokens as asked for, or as the context holds.
    Length,
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
    #[error("the prompt has {tokens} tokens; the plan's context of {limit} leaves no room for an answer")]
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

/// A request on its way.
pub struct Completion<'t> {
    request: Request,
    sampler: Sampler,
    detokenizer: Option<Detokenizer<'t>>,
    stops: StopTexts,
    ends: Vec<u32>,
    /// The prompt and the tokens so far.
    history: Vec<u32>,
    room: usize,
    finish: Option<Finish>,
}

impl<'t> Completion<'t> {
    /// Checks a request against the plan.
    pub fn new(
        tokenizer: &'t Tokenizer,
        plan: &Plan,
        request: Request,
    ) -> Result<Completion<'t>, GenerateError> {
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
        Ok(Completion {
            sampler: Sampler::new(request.sampling)?,
            detokenizer: Some(Detokenizer::new(tokenizer, SpecialTokens::Skip)),
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

    /// Why it ended, once it has.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Chooses the next token from the logits after the last one. Not to be called after the end.
    pub fn accept(&mut self, logits: &[f32]) -> Result<Delta, GenerateError> {
        let sampled = self.sampler.sample(logits, &self.history)?;
        self.append(sampled)
    }

    /// What a device needs to choose the next token itself; `None` where the logits are needed for it.
    pub fn sample_request(&self) -> Option<SampleRequest> {
        self.sampler.sample_request()
    }

    /// Takes the token that a device chose by [`Completion::sample_request`]. Not to be called after the end.
    pub fn accept_sampled(&mut self, sampled: Option<SampledToken>) -> Result<Delta, GenerateError> {
        let sampled = self.sampler.accept(sampled)?;
        self.append(sampled)
    }

    fn append(&mut self, sampled: Sampled) -> Result<Delta, GenerateError> {
        let token = sampled.token;
        self.history.push(token);
        let ended = self.ends.contains(&token);
        let mut text = String::new();
        if let Some(detokenizer) = self.detokenizer.as_mut().filter(|_| !ended) {
            text = self.stops.push(&detokenizer.push(token)?);
        }
        self.finish = if ended || self.stops.hit {
            Some(Finish::Stop)
        } else {
            (self.tokens().len() >= self.room).then_some(Finish::Length)
        };
        if self.finish.is_some() {
            text.push_str(&self.flush()?);
        }
        Ok(Delta { sampled, text, finish: self.finish })
    }

    /// The text held back for a character or a stop text that did not come.
    fn flush(&mut self) -> Result<String, GenerateError> {
        let Some(detokenizer) = self.detokenizer.take() else { return Ok(String::new()) };
        let mut text = self.stops.push(&detokenizer.finish()?);
        if self.stops.hit {
            self.finish = Some(Finish::Stop);
        } else {
            text.push_str(&std::mem::take(&mut self.stops.held));
        }
        Ok(text)
    }
}

/// Looks for stop texts in a stream, and holds back what may become one.
struct StopTexts {
    stops: Vec<String>,
    held: String,
    hit: bool,
}

impl StopTexts {
    fn new(stops: Vec<String>) -> StopTexts {
        StopTexts { stops, held: String::new(), hit: false }
    }

    /// Adds text; gives what can no longer be part of a stop text. After a hit nothing more comes.
    fn push(&mut self, text: &str) -> String {
        if self.hit {
            return String::new();
        }
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.hit = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let certain = self.held.len() - self.longest_beginning();
        let rest = self.held.split_off(certain);
        std::mem::replace(&mut self.held, rest)
    }

    /// Bytes of the longest end of the held text that begins a stop text.
    fn longest_beginning(&self) -> usize {
        let begins = |stop: &String| {
            let ends = stop.char_indices().map(|(at, _)| at).rev();
            ends.into_iter().find(|&at| self.held.ends_with(&stop[..at])).unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
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
    let sequence = engine.create()?;
    let generated = run(engine, sequence, completion, on_delta);
    engine.release(sequence);
    generated
}

fn run(
    engine: &mut Engine,
    sequence: SequenceId,
    mut completion: Completion<'_>,
    mut on_delta: impl FnMut(&Delta) -> ControlFlow<()>,
) -> Result<Generated, GenerateError> {
    let mut text = String::new();
    let mut finish = completion.finish();
    let mut pending = completion.prompt().to_vec();
    while finish.is_none() {
        let delta = match completion.sample_request() {
            Some(request) => {
                completion.accept_sampled(engine.append_and_sample(sequence, &pending, request)?)?
            }
            None => completion.accept(engine.append_tokens(sequence, &pending, Outputs::Last)?.row(0))?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut texts = StopTexts::new(stops.iter().map(|s| s.to_string()).collect());
        let mut out: String = pieces.iter().map(|piece| texts.push(piece)).collect();
        if !texts.hit {
            out.push_str(&texts.held);
        }
        (out, texts.hit)
    }

    #[test]
    fn stop_texts_are_found_across_pieces() {
        assert_eq!(stream(&["END"], &["abc E", "N", "D tail"]), ("abc ".into(), true));
        assert_eq!(stream(&["END"], &["abc E", "N", "d"]), ("abc ENd".into(), false));
        assert_eq!(stream(&["aab"], &["a", "a", "a", "b"]), ("a".into(), true));
        assert_eq!(stream(&["é!", "x"], &["caf", "é", "!"]), ("caf".into(), true));
    }

    proptest! {
        /// However the text is cut, the result is the text up to the first stop text.
        #[test]
        fn pieces_do_not_matter(pieces in prop::collection::vec("[abé]{0,3}", 0..12), stop in "[abé]{1,3}") {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = pieces.concat();
            let expected = match whole.find(&stop) {
                Some(at) => (whole[..at].to_owned(), true),
                None => (whole, false),
            };
            prop_assert_eq!(stream(&[&stop], &pieces), expected);
        }
    }
}
