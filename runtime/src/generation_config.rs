//! `generation_config.json`: how its makers want a model sampled. Values mean what they mean to transformers.

use serde_json::{Map, Value};

use crate::{plan::OpenPlan, sample::Sampling};

/// File of the settings inside a plan.
pub const GENERATION_CONFIG_FILE: &str = "generation_config.json";

/// What transformers takes for `top_k` where it samples and nothing is said.
const DEFAULT_TOP_K: usize = 50;

/// Keys that change which tokens come, that samp does not follow, and the value with which they change nothing.
const NOT_FOLLOWED: [(&str, Option<f64>); 25] = [
    ("bad_words_ids", None),
    ("begin_suppress_tokens", None),
    ("constraints", None),
    ("diversity_penalty", Some(0.0)),
    ("dola_layers", None),
    ("encoder_no_repeat_ngram_size", Some(0.0)),
    ("encoder_repetition_penalty", Some(1.0)),
    ("epsilon_cutoff", Some(0.0)),
    ("eta_cutoff", Some(0.0)),
    ("exponential_decay_length_penalty", None),
    ("force_words_ids", None),
    ("forced_bos_token_id", None),
    ("forced_eos_token_id", None),
    ("guidance_scale", Some(1.0)),
    ("min_length", Some(0.0)),
    ("min_new_tokens", Some(0.0)),
    ("no_repeat_ngram_size", Some(0.0)),
    ("num_beams", Some(1.0)),
    ("penalty_alpha", Some(0.0)),
    ("sequence_bias", None),
    ("stop_strings", None),
    ("suppress_tokens", None),
    ("top_h", None),
    ("typical_p", Some(1.0)),
    ("watermarking_config", None),
];

/// The settings of a plan, or of a request: what is given. Those of a request count more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationSettings {
    /// Whether tokens are drawn; where not, the likeliest is taken.
    pub do_sample: Option<bool>,
    /// Divides the logits; 0, in a request alone, takes the likeliest token.
    pub temperature: Option<f32>,
    /// Only so many of the most likely tokens count; 0 for all.
    pub top_k: Option<usize>,
    /// Only the most likely tokens that together reach this probability count.
    pub top_p: Option<f32>,
    /// Only tokens at least this part as likely as the most likely one count.
    pub min_p: Option<f32>,
    /// Divides the logits of tokens seen before.
    pub repetition_penalty: Option<f32>,
    /// Most tokens to generate.
    pub max_new_tokens: Option<usize>,
}

/// What a `generation_config.json` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationConfig {
    /// What is followed.
    pub settings: GenerationSettings,
    /// What is not, a clause each: values that make no sense, and keys that samp does not know how to follow.
    pub passed_over: Vec<String>,
}

impl GenerationConfig {
    /// The settings that `plan` carries; none where it carries none.
    pub fn from_plan(plan: &OpenPlan) -> GenerationConfig {
        plan.file(GENERATION_CONFIG_FILE).map(GenerationConfig::from_bytes).unwrap_or_default()
    }

    /// Reads the file. What makes no sense is passed over and listed.
    pub fn from_bytes(bytes: &[u8]) -> GenerationConfig {
        let Ok(keys) = serde_json::from_slice::<Map<String, Value>>(bytes) else {
            let passed_over = vec!["expected a JSON object, found other text".to_owned()];
            return GenerationConfig { passed_over, ..GenerationConfig::default() };
        };
        let mut reader = Reader { keys: &keys, passed_over: vec![] };
        let settings = GenerationSettings {
            do_sample: reader.value("do_sample", "true or false", Value::as_bool),
            temperature: reader.number("temperature", "a number above 0", |x| x > 0.0),
            top_k: reader.count("top_k"),
            top_p: reader.number("top_p", "a number above 0 and at most 1", |x| x > 0.0 && x <= 1.0),
            min_p: reader.number("min_p", "a number from 0 to 1", |x| (0.0..=1.0).contains(&x)),
            repetition_penalty: reader.number("repetition_penalty", "a number above 0", |x| x > 0.0),
            max_new_tokens: reader.count("max_new_tokens"),
        };
        reader.not_followed();
        GenerationConfig { settings, passed_over: reader.passed_over }
    }

    /// How tokens are chosen where a request gives `given`, and from where each value comes.
    ///
    /// As in transformers, tokens are drawn where `do_sample` says so, with a `top_k` of 50 unless another is given, and the
    /// likeliest is taken where it does not. A request that gives a temperature, `top_k`, `top_p` or `min_p` asks for draws;
    /// one that gives a temperature of 0 asks for the likeliest token.
    pub fn sampling(&self, given: &GenerationSettings, seed: u64) -> ChosenSampling {
        let own = &self.settings;
        let asks = given.temperature.is_some()
            || given.top_k.is_some()
            || given.top_p.is_some()
            || given.min_p.is_some();
        let asked = given.do_sample.or(asks.then_some(given.temperature != Some(0.0)));
        let draws = choose(asked, own.do_sample, false);
        let penalty = choose(given.repetition_penalty, own.repetition_penalty, 1.0);
        let mut chosen = ChosenSampling {
            sampling: Sampling { seed, repetition_penalty: penalty.value, ..Sampling::default() },
            origins: vec![],
        };
        if draws.value {
            let temperature = choose(given.temperature, own.temperature, 1.0);
            let top_k = choose(given.top_k, own.top_k, DEFAULT_TOP_K);
            let top_p = choose(given.top_p, own.top_p, 1.0);
            let min_p = choose(given.min_p, own.min_p, 0.0);
            chosen.sampling.temperature = temperature.value;
            chosen.sampling.top_k = top_k.value;
            chosen.sampling.top_p = top_p.value;
            chosen.sampling.min_p = min_p.value;
            chosen.say("temperature", &temperature, true);
            chosen.say("top_k", &top_k, top_k.value > 0);
            chosen.say("top_p", &top_p, top_p.value < 1.0);
            chosen.say("min_p", &min_p, min_p.value > 0.0);
        } else {
            chosen.origins.push(("greedy".into(), draws.origin));
        }
        chosen.say("repetition_penalty", &penalty, penalty.value != 1.0);
        chosen
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// The request.
    Given,
    /// The model's `generation_config.json`.
    Config,
    /// Neither: transformers' default.
    Default,
}

impl std::fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SettingOrigin::Given => "given",
            SettingOrigin::Config => GENERATION_CONFIG_FILE,
            SettingOrigin::Default => "default",
        })
    }
}

/// How tokens are chosen, and why so.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenSampling {
    /// For a [`crate::Request`].
    pub sampling: Sampling,
    /// Each value that has an effect, with where it comes from.
    pub origins: Vec<(String, SettingOrigin)>,
}

impl ChosenSampling {
    fn say<T: std::fmt::Display>(&mut self, name: &str, choice: &Choice<T>, matters: bool) {
        if matters {
            self.origins.push((format!("{name} {}", choice.value), choice.origin));
        }
    }
}

/// One line: the values, each group with where it comes from.
impl std::fmt::Display for ChosenSampling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (what, origin)) in self.origins.iter().enumerate() {
            f.write_str(if at > 0 { ", " } else { "" })?;
            f.write_str(what)?;
            if self.origins.get(at + 1).is_none_or(|(_, next)| next != origin) {
                write!(f, " ({origin})")?;
            }
        }
        Ok(())
    }
}

/// A value and where it comes from.
struct Choice<T> {
    value: T,
    origin: SettingOrigin,
}

fn choose<T>(given: Option<T>, config: Option<T>, default: T) -> Choice<T> {
    match (given, config) {
        (Some(value), _) => Choice { value, origin: SettingOrigin::Given },
        (None, Some(value)) => Choice { value, origin: SettingOrigin::Config },
        (None, None) => Choice { value: default, origin: SettingOrigin::Default },
    }
}

/// The keys of a file, and what of them was passed over.
struct Reader<'a> {
    keys: &'a Map<String, Value>,
    passed_over: Vec<String>,
}

impl Reader<'_> {
    /// A value; `null` counts as absent.
    fn value<T>(&mut self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let found = self.keys.get(key).filter(|value| !value.is_null())?;
        let value = read(found);
        if value.is_none() {
            self.passed_over.push(format!("{key}: expected {expected}, found {found}"));
        }
        value
    }

    fn number(&mut self, key: &str, expected: &str, holds: impl Fn(f32) -> bool) -> Option<f32> {
        let read = |value: &Value| value.as_f64().map(|x| x as f32).filter(|x| x.is_finite() && holds(*x));
        self.value(key, expected, read)
    }

    fn count(&mut self, key: &str) -> Option<usize> {
        let read = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
        self.value(key, "a whole number from 0", read)
    }

    fn not_followed(&mut self) {
        for (key, neutral) in NOT_FOLLOWED {
            let found = self.keys.get(key).filter(|value| !value.is_null());
            let found = found.filter(|value| neutral.is_none() || value.as_f64() != neutral);
            self.passed_over.extend(found.map(|value| format!("{key} = {value}: not supported")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> GenerationConfig {
        GenerationConfig::from_bytes(text.as_bytes())
    }

    fn chosen(text: &str, given: GenerationSettings) -> ChosenSampling {
        config(text).sampling(&given, 3)
    }

    #[test]
    fn settings_are_those_of_transformers_where_nothing_is_given() {
        let nothing = GenerationSettings::default();
        for greedy in [
            "{}",
            r#"{"temperature": 0.6}"#,
            r#"{"do_sample": false, "top_p": 0.9}"#,
            r#"{"do_sample": null}"#,
        ] {
            let found = chosen(greedy, nothing.clone());
            assert_eq!(found.sampling, Sampling { seed: 3, ..Sampling::default() }, "{greedy}");
        }
        assert_eq!(chosen("{}", nothing.clone()).to_string(), "greedy (default)");
        let found = chosen(r#"{"do_sample": true, "temperature": 0.6, "top_p": 0.9}"#, nothing.clone());
        let expected = Sampling { temperature: 0.6, top_p: 0.9, top_k: 50, seed: 3, ..Sampling::default() };
        assert_eq!(found.sampling, expected);
        assert_eq!(
            found.to_string(),
            "temperature 0.6 (generation_config.json), top_k 50 (default), top_p 0.9 (generation_config.json)"
        );
        let found = chosen(r#"{"do_sample": true, "top_k": 0, "repetition_penalty": 1.1}"#, nothing);
        assert_eq!((found.sampling.temperature, found.sampling.top_k), (1.0, 0));
        assert_eq!(
            found.to_string(),
            "temperature 1 (default), repetition_penalty 1.1 (generation_config.json)"
        );
    }

    #[test]
    fn what_is_given_counts_more() {
        let own = r#"{"do_sample": true, "temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.2}"#;
        let greedy = GenerationSettings { temperature: Some(0.0), ..Default::default() };
        let found = chosen(own, greedy);
        assert_eq!((found.sampling.temperature, found.sampling.repetition_penalty), (0.0, 1.2));
        assert_eq!(found.to_string(), "greedy (given), repetition_penalty 1.2 (generation_config.json)");
        let given = GenerationSettings {
            top_p: Some(0.5),
            top_k: Some(7),
            repetition_penalty: Some(1.0),
            ..Default::default()
        };
        let found = chosen(own, given.clone());
        assert_eq!(found.to_string(), "temperature 0.6 (generation_config.json), top_k 7, top_p 0.5 (given)");
        // To ask for a part of the likeliest tokens is to ask for draws.
        assert_eq!(chosen("{}", given).sampling.temperature, 1.0);
        let penalty = GenerationSettings { repetition_penalty: Some(1.5), ..Default::default() };
        assert_eq!(chosen("{}", penalty).to_string(), "greedy (default), repetition_penalty 1.5 (given)");
    }

    #[test]
    fn values_that_make_no_sense_are_passed_over_and_listed() {
        let found = config(
            r#"{"do_sample": "yes", "temperature": 0, "top_k": -1, "top_p": 1.5, "min_p": 2, "repetition_penalty": 0,
                "max_new_tokens": 1.5, "num_beams": 4, "no_repeat_ngram_size": 0, "typical_p": 1.0, "stop_strings": ["a"],
                "bad_words_ids": null, "temperature_last": 1}"#,
        );
        assert_eq!(found.settings, GenerationSettings::default());
        let keys: Vec<&str> =
            found.passed_over.iter().map(|clause| clause.split([':', ' ']).next().unwrap()).collect();
        let expected = [
            "do_sample",
            "temperature",
            "top_k",
            "top_p",
            "min_p",
            "repetition_penalty",
            "max_new_tokens",
            "num_beams",
            "stop_strings",
        ];
        assert_eq!(keys, expected);
        assert_eq!(found.passed_over[1], "temperature: expected a number above 0, found 0");
        assert_eq!(config("[1]").passed_over.len(), 1);
    }
}
