//! The log-probabilities that an answer's tokens were served with.

use samp_runtime::Sampled;

/// What is kept of an answer while it is generated.
#[derive(Clone, Debug, Default)]
pub struct LogprobRecord {
    logprobs: Vec<f32>,
}

/// A finished answer, to be computed again.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The prompt and the answer.
    pub tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Of each token of the answer.
    pub logprobs: Vec<f32>,
}

impl LogprobRecord {
    /// A token was served.
    pub fn push(&mut self, sampled: &Sampled) {
        self.logprobs.push(sampled.logprob);
    }

    /// The whole of it, once the answer has ended; of no more positions than fit, nothing where that leaves none.
    pub fn answered(self, prompt: usize, history: &[u32], positions: usize) -> Option<Answered> {
        let tokens = history[..history.len().min(positions)].to_vec();
        let kept = tokens.len().checked_sub(prompt).filter(|kept| *kept > 0)?;
        let logprobs = self.logprobs[..kept].to_vec();
        Some(Answered { tokens, prompt, logprobs })
    }
}

impl Answered {
    /// The first token whose log-probability is another than `again` says, which has one for each token of the answer. They
    /// may differ by so much.
    pub fn mismatch(&self, again: impl IntoIterator<Item = f32>, tolerance: f32) -> Option<Mismatch> {
        let differs = |served: f32, again: f32| {
            served.to_bits() != again.to_bits()
                && (served - again).abs().partial_cmp(&tolerance).is_none_or(|o| o.is_gt())
        };
        let pairs = self.logprobs.iter().copied().zip(again).enumerate();
        let found = pairs.map(|(at, (served, again))| Mismatch { token: at, served, again });
        found.into_iter().find(|found| differs(found.served, found.again))
    }
}

/// A token that was served with another log-probability than it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mismatch {
    /// Which of the answer's tokens.
    pub token: usize,
    /// As it was served.
    pub served: f32,
    /// As it was computed again.
    pub again: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(logprobs: &[f32]) -> LogprobRecord {
        let mut record = LogprobRecord::default();
        let sampled = |logprob: f32| Sampled { token: 1, logprob, top: vec![] };
        logprobs.iter().for_each(|logprob| record.push(&sampled(*logprob)));
        record
    }

    #[test]
    fn an_answer_is_kept_as_far_as_it_can_be_computed_again() {
        let answered = record(&[-1.0, -2.0, -3.0]).answered(2, &[5, 6, 7, 8, 9], 4).unwrap();
        assert_eq!((answered.tokens, answered.logprobs), (vec![5, 6, 7, 8], vec![-1.0, -2.0]));
        assert_eq!(record(&[-1.0]).answered(2, &[5, 6, 7], 2), None);
    }

    #[test]
    fn the_last_bit_counts_unless_more_is_allowed() {
        let answered = record(&[-1.0, f32::NEG_INFINITY]).answered(1, &[5, 6, 7], 9).unwrap();
        let near = f32::from_bits((-1.0f32).to_bits() + 1);
        assert_eq!(answered.mismatch([-1.0, f32::NEG_INFINITY], 0.0), None);
        assert_eq!(answered.mismatch([near, f32::NEG_INFINITY], 0.0).map(|found| found.token), Some(0));
        assert_eq!(answered.mismatch([near, f32::NEG_INFINITY], 1e-3), None);
        assert_eq!(answered.mismatch([-1.0, f32::NAN], 1.0).map(|found| found.token), Some(1));
    }
}
