//! Positions of an answer whose logits are kept, so that a baseline can be asked what it makes of them.

use samp_kernels::random::mix64;

/// Positions that are kept of an answer.
const POSITIONS: usize = 32;

/// An answer's kept positions: as many as that, each position as likely as any other (Vitter 1985, algorithm R).
pub struct ShadowSample {
    stratum: String,
    random: u64,
    seen: usize,
    /// Where the next position goes, if it is kept.
    slot: Option<usize>,
    kept: Vec<(usize, Vec<f32>)>,
}

/// A finished answer with the plan's logits at some of its tokens.
pub struct Served {
    /// What kind of request it was.
    pub stratum: String,
    /// The prompt and the answer.
    pub tokens: Vec<u32>,
    /// Positions, ascending, with the logits of the token after each.
    pub rows: Vec<(usize, Vec<f32>)>,
}

impl ShadowSample {
    /// Of an answer to a request of a stratum.
    pub fn new(stratum: String, random: u64) -> ShadowSample {
        ShadowSample { stratum, random, seen: 0, slot: None, kept: vec![] }
    }

    /// Decides whether the logits of the next token are kept.
    pub fn decide(&mut self) {
        self.slot = if self.kept.len() < POSITIONS {
            Some(self.kept.len())
        } else {
            let at = mix64(self.random.wrapping_add(self.seen as u64)) as usize % (self.seen + 1);
            (at < POSITIONS).then_some(at)
        };
    }

    /// Whether they are.
    pub fn wants_logits(&self) -> bool {
        self.slot.is_some()
    }

    /// A token came, by these logits.
    pub fn take(&mut self, logits: Option<Vec<f32>>) {
        if let (Some(slot), Some(logits)) = (self.slot.take(), logits) {
            self.kept.truncate(POSITIONS);
            match self.kept.get_mut(slot) {
                Some(kept) => *kept = (self.seen, logits),
                None => self.kept.push((self.seen, logits)),
            }
        }
        self.seen += 1;
    }

    /// The whole of it, once the answer of so many prompt tokens has ended; nothing if nothing was kept.
    pub fn served(self, prompt: usize, history: &[u32]) -> Option<Served> {
        let rows = self.kept.into_iter().map(|(token, logits)| (prompt + token - 1, logits));
        let mut rows: Vec<(usize, Vec<f32>)> = rows.collect();
        rows.sort_by_key(|(position, _)| *position);
        let last = rows.last()?.0;
        Some(Served { stratum: self.stratum, tokens: history[..=last].to_vec(), rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_is_kept_as_often_as_any_other() {
        let mut counts = [0u32; 100];
        for random in 0..500 {
            let mut sample = ShadowSample::new("all".into(), mix64(random));
            for token in 0..100 {
                sample.decide();
                let logits = sample.wants_logits().then(|| vec![token as f32]);
                sample.take(logits);
            }
            let history: Vec<u32> = (0..107).collect();
            let served = sample.served(7, &history).unwrap();
            assert_eq!(served.rows.len(), POSITIONS);
            assert!(served.rows.is_sorted_by_key(|(position, _)| *position));
            assert_eq!(served.tokens.len(), served.rows.last().unwrap().0 + 1);
            for (position, logits) in &served.rows {
                // The first token follows the prompt's last position.
                assert_eq!(logits[0] as usize, position - 6);
                counts[position - 6] += 1;
            }
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 110 && *most < 215, "160 expected: {least} to {most}");
    }

    #[test]
    fn an_answer_without_tokens_has_nothing_to_show() {
        assert!(ShadowSample::new("all".into(), 1).served(3, &[1, 2, 3]).is_none());
    }
}
