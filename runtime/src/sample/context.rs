//! What a request changes the logits by before a token is chosen.

use std::{borrow::Cow, collections::BTreeMap};

/// What tokens that are there already lose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Penalties {
    pub repetition: f32,
    pub presence: f32,
    pub frequency: f32,
}

/// Which tokens may come: a bit for each, the lowest of a word first. Those beyond the last word may not.
#[derive(Clone, Copy, Debug)]
pub struct TokenMask<'a>(pub &'a [u32]);

impl TokenMask<'_> {
    /// Whether `token` may come.
    pub fn allows(&self, token: u32) -> bool {
        self.0.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }
}

/// What stands before the token, and what the request says of tokens one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct SamplingContext<'a> {
    /// The prompt and the tokens so far.
    pub history: &'a [u32],
    /// How many of them, at the end, were generated: what presence and frequency penalties look at.
    pub generated: usize,
    /// Added to the logits of tokens. Tokens outside the vocabulary are passed over.
    pub bias: &'a [(u32, f32)],
    /// Tokens that must not come.
    pub banned: &'a [u32],
    /// The tokens that may come, if not all may.
    pub allowed: Option<TokenMask<'a>>,
}

impl SamplingContext<'_> {
    /// The logits with penalties, bias and bans, in this order. Borrowed where nothing changes them.
    pub(super) fn adjust<'l>(&self, logits: &'l [f32], penalties: Penalties) -> Cow<'l, [f32]> {
        let mut adjusted = Cow::Borrowed(logits);
        self.penalize(&mut adjusted, penalties);
        for &(token, bias) in self.bias {
            change(&mut adjusted, token, |logit| logit + bias);
        }
        for &token in self.banned.iter().filter(|token| (**token as usize) < logits.len()) {
            adjusted.to_mut()[token as usize] = f32::NEG_INFINITY;
        }
        if let Some(mask) = self.allowed {
            let logits = adjusted.to_mut().iter_mut().zip(0u32..);
            logits
                .filter(|(_, token)| !mask.allows(*token))
                .for_each(|(logit, _)| *logit = f32::NEG_INFINITY);
        }
        adjusted
    }

    fn penalize(&self, logits: &mut Cow<'_, [f32]>, penalties: Penalties) {
        let Penalties { repetition, presence, frequency } = penalties;
        if repetition != 1.0 {
            let scale = |logit: f32| {
                if logit > 0.0 { logit / repetition } else { logit * repetition }
            };
            counts(self.history).into_keys().for_each(|token| change(logits, token, scale));
        }
        if presence != 0.0 || frequency != 0.0 {
            let generated = &self.history[self.history.len().saturating_sub(self.generated)..];
            for (token, count) in counts(generated) {
                change(logits, token, |logit| logit - presence - frequency * count as f32);
            }
        }
    }
}

fn counts(tokens: &[u32]) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    tokens.iter().for_each(|token| *counts.entry(*token).or_insert(0) += 1);
    counts
}

/// Changes a token's logit if there is such a token and it has a chance. An extreme change must not make two logits
/// infinite, whose difference is no number.
fn change(logits: &mut Cow<'_, [f32]>, token: u32, by: impl Fn(f32) -> f32) {
    if let Some(logit) = logits.get(token as usize).copied().filter(|logit| logit.is_finite()) {
        logits.to_mut()[token as usize] = by(logit).clamp(f32::MIN, f32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Sampling, *};

    fn adjusted(context: &SamplingContext<'_>, sampling: Sampling) -> Vec<f32> {
        context.adjust(&[4.0, -2.0, 1.0, 0.0], sampling.penalties()).into_owned()
    }

    #[test]
    fn presence_counts_once_and_frequency_each_time_and_only_what_was_generated() {
        let context =
            SamplingContext { history: &[3, 3, 0, 1, 0], generated: 3, ..SamplingContext::default() };
        let sampling = Sampling { presence_penalty: 0.5, frequency_penalty: 0.25, ..Sampling::default() };
        assert_eq!(adjusted(&context, sampling), [3.0, -2.75, 1.0, 0.0]);
        let repetition = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        assert_eq!(adjusted(&context, repetition), [2.0, -4.0, 1.0, 0.0]);
    }

    #[test]
    fn bias_is_added_and_bans_and_masks_leave_no_chance() {
        let context = SamplingContext {
            bias: &[(1, 100.0), (2, -1.5), (99, 1.0)],
            banned: &[0, 77],
            allowed: Some(TokenMask(&[0b0111])),
            ..SamplingContext::default()
        };
        let none = f32::NEG_INFINITY;
        assert_eq!(adjusted(&context, Sampling::default()), [none, 98.0, -0.5, none]);
        assert!(!TokenMask(&[u32::MAX]).allows(32) && TokenMask(&[0, 1]).allows(32));
    }

    #[test]
    fn logits_that_nothing_changes_are_not_copied() {
        let logits = [1.0, 2.0];
        let unchanged = SamplingContext { history: &[0, 1], generated: 2, ..SamplingContext::default() };
        assert!(matches!(unchanged.adjust(&logits, Sampling::default().penalties()), Cow::Borrowed(_)));
    }

    #[test]
    fn extreme_biases_keep_logits_finite() {
        let context = SamplingContext { bias: &[(0, f32::MAX), (1, f32::MIN)], ..SamplingContext::default() };
        assert!(
            context
                .adjust(&[f32::MAX, f32::MIN], Sampling::default().penalties())
                .iter()
                .all(|l| l.is_finite())
        );
    }
}
