//! From what a request says to what the engine takes: templates, tokens, the model's defaults, and the limits of the plan.

mod chat;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use samp_runtime::{
    AddSpecial, ChatTemplate, Completion, GenerateError, GenerationConfig, GenerationSettings, OpenPlan,
    Request, Sampling, SpecialTokens, Tokenizer,
};

use crate::{
    api::{ApiError, CompletionPrompt, ErrorKind, Settings},
    constrain::{Form, FormState, Vocabulary},
    error::ServeError,
    tools::ToolStyle,
};

pub use self::chat::ChatPrompt;

/// The plan as those see it who prepare requests for it.
pub struct Frontend {
    plan: Arc<OpenPlan>,
    tokenizer: Arc<Tokenizer>,
    template: Option<ChatTemplate>,
    defaults: GenerationSettings,
    names: Vec<String>,
    max_model_len: usize,
    /// How the model calls tools, where its template does not say.
    tool_style: Option<ToolStyle>,
    /// Made when an answer is first to have a form.
    vocabulary: OnceLock<Arc<Vocabulary>>,
    /// The forms that were asked for last, by their expressions.
    forms: Mutex<VecDeque<(String, Arc<Form>)>>,
}

/// Forms that are kept for the next request.
const KEPT_FORMS: usize = 64;

impl Frontend {
    /// Of a plan that is served under these names, with sequences of at most so many positions.
    pub fn new(
        plan: Arc<OpenPlan>,
        names: Vec<String>,
        max_model_len: usize,
        tool_style: Option<ToolStyle>,
    ) -> Result<Frontend, ServeError> {
        Ok(Frontend {
            tokenizer: Arc::new(Tokenizer::from_plan(&plan)?),
            template: ChatTemplate::from_plan(&plan)?,
            defaults: GenerationConfig::from_plan(&plan).settings,
            plan,
            names,
            max_model_len,
            tool_style,
            vocabulary: OnceLock::new(),
            forms: Mutex::default(),
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<OpenPlan> {
        &self.plan
    }

    /// The plan's tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// The names that the plan is served under; the first is its own.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Positions of a sequence.
    pub fn max_model_len(&self) -> usize {
        self.max_model_len
    }

    /// The plan's digest: which plan answered.
    pub fn fingerprint(&self) -> String {
        format!("blake3:{}", self.plan.digest())
    }

    /// The name that an answer has; refuses names that nothing is served under.
    pub fn model(&self, asked: Option<&str>) -> Result<String, ApiError> {
        match asked {
            None => Ok(self.names[0].clone()),
            Some(name) if self.names.iter().any(|known| known == name) => Ok(name.to_owned()),
            Some(name) => {
                let known = self.names.join(", ");
                let message = format!("model: {name:?} is not served here; served are: {known}");
                let error =
                    ApiError { param: Some("model".into()), ..ApiError::new(ErrorKind::NotFound, message) };
                Err(error.with_code("model_not_found"))
            }
        }
    }

    /// The tokens of a prompt.
    pub fn prompt_tokens(&self, prompt: &CompletionPrompt, special: bool) -> Result<Vec<u32>, ApiError> {
        match prompt {
            CompletionPrompt::Tokens(tokens) => {
                self.check_tokens("prompt", tokens)?;
                Ok(tokens.clone())
            }
            CompletionPrompt::Text(text) => self.text_tokens(text, special),
        }
    }

    /// The tokens of a text.
    pub fn text_tokens(&self, text: &str, special: bool) -> Result<Vec<u32>, ApiError> {
        let special = if special { AddSpecial::Yes } else { AddSpecial::No };
        self.tokenizer.encode(text, special).map_err(|error| ApiError::field("prompt", error))
    }

    /// The text of tokens, special ones too.
    pub fn detokenize(&self, tokens: &[u32]) -> Result<String, ApiError> {
        self.check_tokens("tokens", tokens)?;
        self.tokenizer.decode(tokens, SpecialTokens::Keep).map_err(|error| ApiError::field("tokens", error))
    }

    /// The text of a prompt as an answer has it.
    pub fn detokenize_plain(&self, tokens: &[u32]) -> Result<String, ApiError> {
        self.tokenizer.decode(tokens, SpecialTokens::Skip).map_err(|error| ApiError::field("prompt", error))
    }

    fn check_tokens(&self, field: &str, tokens: &[u32]) -> Result<(), ApiError> {
        let vocab = self.plan.manifest().model.vocab_size;
        match tokens.iter().find(|token| u64::from(**token) >= vocab) {
            Some(token) => {
                Err(ApiError::field(field, format!("expected token ids below {vocab}, found {token}")))
            }
            None => Ok(()),
        }
    }

    /// One answer to a prompt. `max_tokens` of `None` is as many as the context holds.
    pub fn completion(
        &self,
        prompt: &[u32],
        settings: &Settings,
        max_tokens: Option<usize>,
        top_logprobs: usize,
        seed: u64,
    ) -> Result<Completion<Arc<Tokenizer>>, ApiError> {
        let room = self.room(prompt.len(), max_tokens)?;
        self.check_tokens("stop_token_ids", &settings.stop_token_ids)?;
        let biased: Vec<u32> = settings.logit_bias.iter().map(|(token, _)| *token).collect();
        self.check_tokens("logit_bias", &biased)?;
        let request = Request {
            prompt: prompt.to_vec(),
            sampling: self.sampling(settings, top_logprobs, seed),
            max_tokens: room,
            stop: settings.stop.clone(),
            stop_tokens: settings.stop_token_ids.clone(),
            ignore_eos: settings.ignore_eos,
            min_tokens: settings.min_tokens.min(room),
            logit_bias: settings.logit_bias.clone(),
            show_special: !settings.skip_special_tokens,
        };
        let refused = |error: GenerateError| ApiError::new(ErrorKind::Invalid, error.to_string());
        Completion::new(self.tokenizer.clone(), self.plan.manifest(), request).map_err(refused)
    }

    /// The beginning of an answer that is to have the form of an expression.
    pub fn form(&self, expression: &str) -> Result<FormState, ApiError> {
        let kept = || self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept().iter().find(|(known, _)| known == expression).map(|(_, form)| form.clone());
        let form = match found {
            Some(form) => form,
            None => {
                let model = &self.plan.manifest().model;
                let vocabulary = || Arc::new(Vocabulary::new(&self.tokenizer, model.vocab_size as u32));
                let vocabulary = self.vocabulary.get_or_init(vocabulary).clone();
                let ends = model.eos_token_ids.clone();
                let made = Form::new(expression, self.tokenizer.clone(), vocabulary, ends);
                let wrong =
                    |reason| ApiError::new(ErrorKind::Invalid, format!("the form of the answer: {reason}"));
                let form = Arc::new(made.map_err(wrong)?);
                let mut kept = kept();
                kept.truncate(KEPT_FORMS - 1);
                kept.push_front((expression.to_owned(), form.clone()));
                form
            }
        };
        FormState::new(form).map_err(|error| ApiError::new(ErrorKind::Invalid, error.to_string()))
    }

    /// What a request does not say, the model's makers say, and where they are silent OpenAI's API does: draws at a temperature
    /// of 1 among all tokens.
    fn sampling(&self, settings: &Settings, top_logprobs: usize, seed: u64) -> Sampling {
        let own = &self.defaults;
        Sampling {
            temperature: settings.temperature.or(own.temperature).unwrap_or(1.0),
            top_k: settings.top_k.or(own.top_k).unwrap_or(0),
            top_p: settings.top_p.or(own.top_p).unwrap_or(1.0),
            min_p: settings.min_p.or(own.min_p).unwrap_or(0.0),
            repetition_penalty: settings.repetition_penalty.or(own.repetition_penalty).unwrap_or(1.0),
            presence_penalty: settings.presence_penalty,
            frequency_penalty: settings.frequency_penalty,
            seed,
            top_logprobs,
        }
    }

    /// Tokens that an answer may have; refuses what the context does not hold.
    fn room(&self, prompt: usize, max_tokens: Option<usize>) -> Result<usize, ApiError> {
        let most = self.max_model_len;
        let too_long =
            |message: String| ApiError::new(ErrorKind::Invalid, message).with_code("context_length_exceeded");
        match max_tokens {
            _ if prompt >= most => Err(too_long(format!(
                "the prompt has {prompt} tokens; the context of {most} has room for one of at most {} and an answer: \
                 shorten it",
                most.saturating_sub(1)
            ))),
            Some(tokens) if prompt.saturating_add(tokens) > most => Err(too_long(format!(
                "the prompt has {prompt} tokens and max_tokens is {tokens}; the context holds {most}: shorten the prompt, or \
                 ask for at most {} tokens",
                most - prompt
            ))),
            Some(tokens) => Ok(tokens),
            None => Ok(most - prompt),
        }
    }
}
