//! What chat and plain completions have in common.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{error::ApiError, fields::Fields, form::AnswerForm};

/// As many of the likeliest tokens as a request may ask for.
pub const MAX_TOP_LOGPROBS: usize = 20;
/// Choices of a request.
const MAX_CHOICES: u64 = 128;
/// Stop texts of a request.
const MAX_STOPS: usize = 16;

/// How the answer is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streaming {
    /// Whether it is sent as it comes.
    pub stream: bool,
    /// Whether a last event says what was used.
    pub include_usage: bool,
    /// Whether each event does.
    pub continuous_usage: bool,
}

/// How tokens are chosen, and when an answer ends. What a request does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The model's name.
    pub model: Option<String>,
    /// Answers wanted.
    pub n: usize,
    /// Names the random sequence.
    pub seed: Option<u64>,
    /// See [`samp_runtime::Sampling`].
    pub temperature: Option<f32>,
    /// See [`samp_runtime::Sampling`].
    pub top_p: Option<f32>,
    /// See [`samp_runtime::Sampling`].
    pub top_k: Option<usize>,
    /// See [`samp_runtime::Sampling`].
    pub min_p: Option<f32>,
    /// See [`samp_runtime::Sampling`].
    pub repetition_penalty: Option<f32>,
    /// See [`samp_runtime::Sampling`].
    pub presence_penalty: f32,
    /// See [`samp_runtime::Sampling`].
    pub frequency_penalty: f32,
    /// Added to the logits of tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// Tokens that end an answer.
    pub stop_token_ids: Vec<u32>,
    /// Tokens before an answer may end by itself.
    pub min_tokens: usize,
    /// Whether the model's own ends are passed over.
    pub ignore_eos: bool,
    /// Whether special tokens are left out of texts.
    pub skip_special_tokens: bool,
    /// Only requests of the same salt share computed prompts.
    pub cache_salt: Option<String>,
    /// The form that the answer is to have.
    pub form: Option<AnswerForm>,
    /// How the answer is sent.
    pub streaming: Streaming,
}

impl Settings {
    /// Reads the fields of a body that both have.
    pub fn read(fields: &mut Fields, body: &[u8]) -> Result<Settings, ApiError> {
        // What says who asks and what to store changes no answer.
        fields.ignore(&[
            "user",
            "metadata",
            "store",
            "service_tier",
            "safety_identifier",
            "prompt_cache_key",
            "prompt_cache_retention",
            "prompt_cache_options",
        ]);
        Ok(Settings {
            model: fields.text("model")?,
            n: fields.count("n", 1..=MAX_CHOICES)?.unwrap_or(1),
            seed: fields.seed("seed")?,
            temperature: fields.number("temperature", 0.0..=2.0)?,
            top_p: top_p(fields)?,
            top_k: top_k(fields)?,
            min_p: fields.number("min_p", 0.0..=1.0)?,
            repetition_penalty: fields.number("repetition_penalty", 0.01..=100.0)?,
            presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?.unwrap_or(0.0),
            frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?.unwrap_or(0.0),
            logit_bias: logit_bias(fields)?,
            stop: stop(fields)?,
            stop_token_ids: fields.tokens("stop_token_ids")?.unwrap_or_default(),
            min_tokens: fields.count("min_tokens", 0..=u64::MAX)?.unwrap_or(0),
            ignore_eos: fields.flag("ignore_eos")?.unwrap_or(false),
            skip_special_tokens: fields.flag("skip_special_tokens")?.unwrap_or(true),
            cache_salt: fields.text("cache_salt")?,
            form: AnswerForm::read(fields, body)?,
            streaming: streaming(fields)?,
        })
    }
}

fn top_p(fields: &mut Fields) -> Result<Option<f32>, ApiError> {
    let top_p = fields.number("top_p", 0.0..=1.0)?;
    // Nothing at all is the least that makes sense: the likeliest token.
    Ok(top_p.map(|top_p| top_p.max(f32::MIN_POSITIVE)))
}

/// vLLM's -1 for all is taken too.
fn top_k(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    match fields.take("top_k") {
        Some(Value::Number(all)) if all.as_i64() == Some(-1) => Ok(Some(0)),
        Some(other) => {
            Fields::of([("top_k".to_owned(), other)].into_iter().collect()).count("top_k", 0..=u64::MAX)
        }
        None => Ok(None),
    }
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let stop = fields.texts("stop", MAX_STOPS)?;
    match stop.iter().any(String::is_empty) {
        true => Err(ApiError::field("stop", "a stop text is empty; leave it out")),
        false => Ok(stop),
    }
}

fn logit_bias(fields: &mut Fields) -> Result<Vec<(u32, f32)>, ApiError> {
    let Some(given) = fields.object("logit_bias")? else { return Ok(vec![]) };
    let read = |(token, bias): (String, Value)| {
        let token = token.parse::<u32>().ok()?;
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias))?;
        Some((token, bias as f32))
    };
    let wrong = || ApiError::field("logit_bias", "expected token ids with numbers from -100 to 100");
    let biases: Option<BTreeMap<u32, f32>> = given.into_iter().map(read).collect();
    Ok(biases.ok_or_else(wrong)?.into_iter().collect())
}

fn streaming(fields: &mut Fields) -> Result<Streaming, ApiError> {
    let stream = fields.flag("stream")?.unwrap_or(false);
    let mut streaming = Streaming { stream, ..Streaming::default() };
    let Some(options) = fields.object("stream_options")? else { return Ok(streaming) };
    if !stream {
        return Err(ApiError::field("stream_options", "allowed only where stream is true"));
    }
    let mut options = Fields::of(options);
    streaming.include_usage = options.flag("include_usage")?.unwrap_or(false);
    streaming.continuous_usage = options.flag("continuous_usage_stats")?.unwrap_or(false);
    options.ignore(&["include_obfuscation"]);
    options.finish()?;
    Ok(streaming)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Settings, ApiError> {
        let body = value.to_string();
        let mut fields = Fields::parse(body.as_bytes())?;
        let settings = Settings::read(&mut fields, body.as_bytes())?;
        fields.finish()?;
        Ok(settings)
    }

    #[test]
    fn what_is_given_is_read() {
        let settings = read(json!({
            "model": "m", "n": 2, "seed": -3, "temperature": 0.5, "top_p": 0, "top_k": -1, "stop": "END", "user": "u",
            "logit_bias": {"7": -100, "5": 1.5}, "stream": true, "stream_options": {"include_usage": true},
        }))
        .unwrap();
        assert_eq!((settings.n, settings.top_k, settings.stop), (2, Some(0), vec!["END".to_owned()]));
        assert_eq!(settings.logit_bias, [(5, 1.5), (7, -100.0)]);
        assert!(settings.top_p.unwrap() > 0.0 && settings.streaming.include_usage);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (name, value) in [
            ("n", json!({ "n": 0 })),
            ("temperature", json!({ "temperature": 2.5 })),
            ("top_k", json!({ "top_k": -2 })),
            ("stop", json!({ "stop": [""] })),
            ("logit_bias", json!({ "logit_bias": {"word": 1} })),
            ("logit_bias", json!({ "logit_bias": {"1": 101} })),
            ("stream_options", json!({ "stream_options": {} })),
            ("best_of", json!({ "best_of": 3 })),
        ] {
            assert_eq!(read(value.clone()).unwrap_err().param.as_deref(), Some(name), "{value}");
        }
    }
}
