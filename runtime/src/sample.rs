//! Choosing the next token.
//!
//! The order is that of transformers: repetition penalty, temperature, top-k, top-p, min-p; what a request changes logits by
//! besides ([`SamplingContext`]) comes before the temperature. Randomness is a
//! counter-based generator: the n-th draw depends on the seed and n alone, so the same seed gives the same tokens.
//! `samp_kernels::sample` defines which token a draw names, for GPUs too.

mod context;

use samp_kernels::{
    random::{GOLDEN_GAMMA, mix64},
    sample::{
        SampleRequest, SampledToken, SamplingParams,
        reference::{LogSum, choose, largest},
    },
};

use self::context::Penalties;
pub use self::context::{SamplingContext, TokenMask};
use crate::error_code;

/// How tokens are chosen. The default is greedy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the largest logit.
    pub temperature: f32,
    /// Only so many of the most likely tokens count; 0 for all.
    pub top_k: usize,
    /// Only the most likely tokens that together reach this probability count; 1 for all.
    pub top_p: f32,
    /// Only tokens at least this part as likely as the most likely one count; 0 for all.
    pub min_p: f32,
    /// Tokens seen before have positive logits divided and negative ones multiplied by this; 1 for none
    /// (Keskar et al. 2019, section 4.1).
    pub repetition_penalty: f32,
    /// Taken off the logits of tokens that were generated before; 0 for none. As in OpenAI's API.
    pub presence_penalty: f32,
    /// Taken off the logits of generated tokens as often as each came; 0 for none. As in OpenAI's API.
    pub frequency_penalty: f32,
    /// Names the random sequence.
    pub seed: u64,
    /// So many of the most likely tokens are reported.
    pub top_logprobs: usize,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 0,
            top_logprobs: 0,
        }
    }
}

/// Why no token can be chosen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SamplingError {
    /// A parameter out of its range.
    #[error("{name} must be {expected}, found {found}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// The range that it must be in.
        expected: &'static str,
        /// What was given.
        found: f32,
    },
    /// The model gave a logit that is no number.
    #[error("the logit of token {token} is {value}; the model or the device computes wrongly")]
    NotFinite {
        /// Id of the token.
        token: usize,
        /// The logit that was found.
        value: f32,
    },
    /// One of the logits that the token is chosen by is no number or positive infinity, or none is finite.
    #[error(
        "no token can be chosen: a logit is NaN or positive infinity, or none is finite; the model or the device computes wrongly"
    )]
    NoneChosen,
    /// What may come, the request says; of that, the logits leave nothing.
    #[error(
        "no token can be chosen: the request rules out every token that the model gives a chance; rule out fewer by \
         `logit_bias`, a grammar or `min_tokens`"
    )]
    NoneAllowed,
    /// There are no logits.
    #[error("there are no logits to choose from; ask the engine for outputs")]
    Empty,
}

impl SamplingError {
    /// Stable code for people, `E14` and two digits.
    pub fn code(&self) -> &'static str {
        match self {
            SamplingError::Parameter { .. } | SamplingError::NoneAllowed => error_code::SAMPLING_PARAMETER,
            SamplingError::NotFinite { .. } | SamplingError::NoneChosen | SamplingError::Empty => {
                error_code::NOT_FINITE_LOGITS
            }
        }
    }
}

/// A token that was sampled, with what the request asked to know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// Id of the token.
    pub token: u32,
    /// Its log-probability under the model, before any penalty or temperature.
    pub logprob: f32,
    /// The most likely tokens with theirs, the likeliest first.
    pub top: Vec<(u32, f32)>,
}

/// Chooses tokens for one sequence.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    draws: u64,
}

impl Sampling {
    /// What tokens that are there already lose.
    fn penalties(&self) -> Penalties {
        Penalties {
            repetition: self.repetition_penalty,
            presence: self.presence_penalty,
            frequency: self.frequency_penalty,
        }
    }
}

impl Sampler {
    /// Checks the parameters.
    pub fn new(sampling: Sampling) -> Result<Sampler, SamplingError> {
        let Sampling { temperature, top_p, min_p, repetition_penalty, .. } = sampling;
        let Sampling { presence_penalty, frequency_penalty, .. } = sampling;
        for (name, found, holds, expected) in [
            ("temperature", temperature, temperature.is_finite() && temperature >= 0.0, "at least 0"),
            ("top_p", top_p, top_p > 0.0 && top_p <= 1.0, "above 0 and at most 1"),
            ("min_p", min_p, (0.0..=1.0).contains(&min_p), "from 0 to 1"),
            (
                "repetition_penalty",
                repetition_penalty,
                repetition_penalty.is_finite() && repetition_penalty > 0.0,
                "above 0",
            ),
            ("presence_penalty", presence_penalty, presence_penalty.is_finite(), "finite"),
            ("frequency_penalty", frequency_penalty, frequency_penalty.is_finite(), "finite"),
        ] {
            if !holds {
                return Err(SamplingError::Parameter { name, expected, found });
            }
        }
        Ok(Sampler { sampling, draws: 0 })
    }

    /// Chooses a token. `logits` has one entry for each token of the vocabulary; `history` is what the repetition
    /// penalty looks at: the prompt and the tokens so far.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> Result<Sampled, SamplingError> {
        self.sample_in(logits, &SamplingContext { history, ..SamplingContext::default() })
    }

    /// [`Sampler::sample`] where the request says more of what may come.
    pub fn sample_in(
        &mut self,
        logits: &[f32],
        context: &SamplingContext<'_>,
    ) -> Result<Sampled, SamplingError> {
        check(logits)?;
        let adjusted = context.adjust(logits, self.sampling.penalties());
        let SampleRequest { params, draw } = self.next_request();
        let token = choose(&adjusted, &params, draw).ok_or(SamplingError::NoneAllowed)?;
        self.draws += 1;
        self.score(logits, token)
    }

    /// What the model says of a token that is there already, as [`Sampler::sample`] would report it. Draws nothing.
    pub fn score(&self, logits: &[f32], token: u32) -> Result<Sampled, SamplingError> {
        check(logits)?;
        let log_sum = LogSum::new(logits);
        let logprob = |token: u32| log_sum.logprob(logits[token as usize]);
        let top = largest(logits, self.sampling.top_logprobs);
        let top = top.into_iter().map(|token| (token, logprob(token))).collect();
        Ok(Sampled { token, logprob: logprob(token), top })
    }

    /// What a device needs to choose the next token where the logits are. `None` where more is asked of them than that:
    /// a penalty, other tokens' log-probabilities.
    pub fn sample_request(&self) -> Option<SampleRequest> {
        let Sampling { repetition_penalty, presence_penalty, frequency_penalty, top_logprobs, .. } =
            self.sampling;
        let penalizes = repetition_penalty != 1.0 || presence_penalty != 0.0 || frequency_penalty != 0.0;
        (!penalizes && top_logprobs == 0).then(|| self.next_request())
    }

    /// Accepts what a device chose by [`Sampler::sample_request`].
    pub fn accept(&mut self, sampled: Option<SampledToken>) -> Result<Sampled, SamplingError> {
        let SampledToken { token, logprob } = sampled.ok_or(SamplingError::NoneChosen)?;
        self.draws += 1;
        Ok(Sampled { token, logprob, top: vec![] })
    }

    fn next_request(&self) -> SampleRequest {
        let Sampling { temperature, top_k, top_p, min_p, .. } = self.sampling;
        let params =
            SamplingParams { temperature, top_k: u32::try_from(top_k).unwrap_or(u32::MAX), top_p, min_p };
        SampleRequest { params, draw: random_bits(self.sampling.seed, self.draws) }
    }
}

/// Refuses logits among which no token can be chosen.
fn check(logits: &[f32]) -> Result<(), SamplingError> {
    let wrong = |l: &f32| l.is_nan() || *l == f32::INFINITY;
    if let Some(token) = logits.iter().position(wrong) {
        return Err(SamplingError::NotFinite { token, value: logits[token] });
    }
    match logits.iter().find(|logit| logit.is_finite()) {
        Some(_) => Ok(()),
        None if logits.is_empty() => Err(SamplingError::Empty),
        None => Err(SamplingError::NotFinite { token: 0, value: logits[0] }),
    }
}

/// SplitMix64 at position `counter` of a stream that a first round derives from the seed, so that
/// neighbouring seeds share nothing.
fn random_bits(seed: u64, counter: u64) -> u64 {
    let stream = mix64(seed.wrapping_add(GOLDEN_GAMMA));
    mix64(stream.wrapping_add(counter.wrapping_add(1).wrapping_mul(GOLDEN_GAMMA)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hot(seed: u64) -> Sampling {
        Sampling { temperature: 1.0, seed, ..Sampling::default() }
    }

    fn draws(sampling: Sampling, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling).unwrap();
        (0..count).map(|_| sampler.sample(logits, &[]).unwrap().token).collect()
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let logits = [0.0, 1.0, 2.0, f32::NEG_INFINITY];
        let tokens = draws(hot(7), &logits, 30_000);
        let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        for (token, logit) in logits.iter().enumerate() {
            let expected = f64::from(*logit).exp() / total;
            let found = tokens.iter().filter(|t| **t as usize == token).count() as f64 / 30_000.0;
            assert!((found - expected).abs() < 0.01, "token {token}: {found} against {expected}");
        }
    }

    #[test]
    fn a_penalty_applies_once_and_in_the_right_direction() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        let mut sampler = Sampler::new(sampling).unwrap();
        assert_eq!(sampler.sample(&[3.0, 2.0], &[0]).unwrap().token, 1);
        assert_eq!(sampler.sample(&[3.0, 1.0], &[0, 0, 0]).unwrap().token, 0);
        assert_eq!(sampler.sample(&[-1.0, -1.5], &[0, 9]).unwrap().token, 1);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (temperature, top_p, min_p) in
            [(-1.0, 1.0, 0.0), (f32::NAN, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 2.0)]
        {
            let sampling = Sampling { temperature, top_p, min_p, ..Sampling::default() };
            assert!(matches!(Sampler::new(sampling), Err(SamplingError::Parameter { .. })));
        }
        let mut sampler = Sampler::new(Sampling::default()).unwrap();
        assert_eq!(sampler.sample(&[], &[]), Err(SamplingError::Empty));
        assert!(matches!(
            sampler.sample(&[0.0, f32::NAN], &[]),
            Err(SamplingError::NotFinite { token: 1, .. })
        ));
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_tokens(seed: u64, logits in prop::collection::vec(-9f32..9.0, 2..50)) {
            prop_assert_eq!(draws(hot(seed), &logits, 8), draws(hot(seed), &logits, 8));
        }

        #[test]
        fn greedy_takes_the_first_largest(logits in prop::collection::vec(-4i8..4, 1..40)) {
            let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let token = draws(Sampling::default(), &logits, 1)[0] as usize;
            prop_assert!(logits.iter().all(|l| *l <= logits[token]));
            prop_assert!(logits[..token].iter().all(|l| *l < logits[token]));
        }

        #[test]
        fn filters_keep_what_they_promise(
            logits in prop::collection::vec(-6f32..6.0, 1..40),
            (seed, top_k, top_p, min_p) in (any::<u64>(), 1usize..9, 0.05f32..1.0, 0.0f32..1.0),
        ) {
            let mut sorted = logits.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
            let above = |token: u32| {
                let larger = logits.iter().filter(|l| **l > logits[token as usize]);
                larger.map(|l| f64::from(*l).exp()).sum::<f64>() / total
            };
            let k = Sampling { top_k, ..hot(seed) };
            prop_assert!(draws(k, &logits, 6).iter().all(|t| logits[*t as usize] >= sorted[top_k.min(sorted.len()) - 1]));
            let p = Sampling { top_p, ..hot(seed) };
            prop_assert!(draws(p, &logits, 6).iter().all(|t| above(*t) <= f64::from(top_p) + 1e-9));
            let m = Sampling { min_p, ..hot(seed) };
            let bound = sorted[0] + min_p.ln() - 1e-4;
            prop_assert!(draws(m, &logits, 6).iter().all(|t| logits[*t as usize] >= bound));
        }

        #[test]
        fn no_penalty_is_too_extreme(
            logits in prop::collection::vec(-9f32..9.0, 1..20),
            bits in 1u32..=f32::MAX.to_bits(),
            (seed, top_p, min_p) in (any::<u64>(), 0.05f32..1.0, 0.0f32..1.0),
        ) {
            let sampling = Sampling { repetition_penalty: f32::from_bits(bits), top_p, min_p, ..hot(seed) };
            let history: Vec<u32> = (0..logits.len() as u32).step_by(2).collect();
            let sampled = Sampler::new(sampling).unwrap().sample(&logits, &history).unwrap();
            prop_assert!((sampled.token as usize) < logits.len());
        }

        #[test]
        fn log_probabilities_add_up_to_one(logits in prop::collection::vec(-9f32..9.0, 1..40)) {
            let sampling = Sampling { top_logprobs: 100, ..Sampling::default() };
            let sampled = Sampler::new(sampling).unwrap().sample(&logits, &[]).unwrap();
            let sum: f64 = sampled.top.iter().map(|(_, l)| f64::from(*l).exp()).sum();
            prop_assert!((sum - 1.0).abs() < 1e-5);
            prop_assert_eq!((sampled.token, sampled.logprob), sampled.top[0]);
        }
    }
}
