//! Evaluation: perplexity, divergence from a baseline, agreement and choice accuracy, by stratum and overall.

mod records;
mod statistics;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

pub use records::{NO_STRATUM, Record, Task, read_records};
pub use statistics::{ClusteredMean, Estimate, argmax, kl_divergence, log_softmax};

/// Something that turns one sequence of tokens into logits.
pub trait LanguageModel {
    /// Vocabulary size.
    fn vocab_size(&self) -> usize;
    /// The longest sequence that it takes.
    fn max_context(&self) -> usize;
    /// Tokens of a text, with whatever starts a text in serving.
    fn tokenize(&self, text: &str) -> anyhow::Result<Vec<u32>>;
    /// Logits `[tokens.len(), vocab_size]` after each position.
    fn logits(&mut self, tokens: &[u32]) -> anyhow::Result<Vec<f32>>;
}

/// The whole evaluation.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// All records.
    pub overall: Scores,
    /// The records of each stratum.
    pub strata: BTreeMap<String, Scores>,
}

/// What was measured on a set of records. Divergence and agreement need a baseline.
#[derive(Debug, Clone, Serialize)]
pub struct Scores {
    /// Records.
    pub records: usize,
    /// Predicted tokens.
    pub tokens: u64,
    /// `exp` of the mean negative log-likelihood.
    pub perplexity: Option<Estimate>,
    /// The baseline's perplexity.
    pub baseline_perplexity: Option<Estimate>,
    /// Mean `KL(baseline ‖ plan)`, nats per token.
    pub kl_nats: Option<Estimate>,
    /// Part of the tokens whose most likely successor is the baseline's.
    pub top1_agreement: Option<Estimate>,
    /// Part of the questions answered right, scored by pointwise mutual information.
    pub choice_accuracy: Option<Estimate>,
}

/// Evaluates `model` on `records`, each cut to its first `max_tokens` tokens, against `baseline` where given.
/// `progress` is told of each finished record.
pub fn evaluate(
    model: &mut dyn LanguageModel,
    mut baseline: Option<&mut dyn LanguageModel>,
    records: &[Record],
    max_tokens: Option<usize>,
    progress: &dyn Fn(),
) -> anyhow::Result<Evaluation> {
    let mut overall = Tally::default();
    let mut strata: BTreeMap<String, Tally> = BTreeMap::new();
    for record in records {
        let measured = match &record.task {
            Task::Text(text) => measure_text(model, &mut baseline, text, max_tokens)?,
            Task::Choice { prompt, choices, answer } => {
                Measured::Choice(answer_choice(model, prompt, choices)? == *answer)
            }
        };
        overall.add(&measured);
        strata.entry(record.stratum.clone()).or_default().add(&measured);
        progress();
    }
    let strata = strata.into_iter().map(|(name, tally)| (name, tally.scores())).collect();
    Ok(Evaluation { overall: overall.scores(), strata })
}

/// What one record gave.
enum Measured {
    Text(TextSums),
    Choice(bool),
}

/// Sums over the predicted tokens of one text.
#[derive(Default)]
struct TextSums {
    tokens: usize,
    nll: f64,
    against: Option<Against>,
}

/// What a comparison with the baseline gives, for one position or summed over many.
#[derive(Clone, Copy, Default)]
struct Against {
    nll: f64,
    kl: f64,
    agreements: f64,
}

fn measure_text(
    model: &mut dyn LanguageModel,
    baseline: &mut Option<&mut dyn LanguageModel>,
    text: &str,
    max_tokens: Option<usize>,
) -> anyhow::Result<Measured> {
    let mut tokens = model.tokenize(text)?;
    tokens.truncate(max_tokens.unwrap_or(usize::MAX).min(model.max_context()));
    if tokens.len() < 2 {
        return Ok(Measured::Text(TextSums::default()));
    }
    let vocab = model.vocab_size();
    let logits = model.logits(&tokens)?;
    let base_logits = baseline.as_mut().map(|b| b.logits(&tokens)).transpose()?;
    let positions: Vec<(f64, Option<Against>)> = (1..tokens.len())
        .into_par_iter()
        .map(|next| {
            let row = (next - 1) * vocab..next * vocab;
            let base_row = base_logits.as_ref().map(|logits| &logits[row.clone()]);
            measure_position(&logits[row.clone()], base_row, tokens[next] as usize)
        })
        .collect();
    // Summed in order, so that the result does not depend on the threads.
    let mut sums = TextSums { tokens: positions.len(), ..TextSums::default() };
    for (nll, against) in positions {
        sums.nll += nll;
        if let Some(against) = against {
            let total = sums.against.get_or_insert_default();
            total.nll += against.nll;
            total.kl += against.kl;
            total.agreements += against.agreements;
        }
    }
    Ok(Measured::Text(sums))
}

/// Negative log-likelihood of the token `next` under `row`, and the comparison with the baseline's row.
fn measure_position(row: &[f32], base_row: Option<&[f32]>, next: usize) -> (f64, Option<Against>) {
    let log_q = log_softmax(row);
    let against = base_row.map(|base_row| {
        let log_p = log_softmax(base_row);
        Against {
            nll: -log_p[next],
            kl: kl_divergence(&log_p, &log_q),
            agreements: f64::from(argmax(row) == argmax(base_row)),
        }
    });
    (-log_q[next], against)
}

/// The choice with the largest pointwise mutual information `ln p(choice | prompt) − ln p(choice)`.
fn answer_choice(model: &mut dyn LanguageModel, prompt: &str, choices: &[String]) -> anyhow::Result<usize> {
    let mut best = (f64::NEG_INFINITY, 0);
    for (index, choice) in choices.iter().enumerate() {
        let score = continuation_log_likelihood(model, prompt, choice)?
            - continuation_log_likelihood(model, "", choice)?;
        if score > best.0 {
            best = (score, index);
        }
    }
    Ok(best.1)
}

/// `ln p(continuation | prefix)`. The continuation's tokens are those after the prefix's own in the joint text.
fn continuation_log_likelihood(
    model: &mut dyn LanguageModel,
    prefix: &str,
    continuation: &str,
) -> anyhow::Result<f64> {
    let head = model.tokenize(prefix)?;
    let mut tokens = model.tokenize(&format!("{prefix}{continuation}"))?;
    tokens.truncate(model.max_context());
    let shared = head.iter().zip(&tokens).take_while(|(a, b)| a == b).count().max(1);
    if tokens.len() <= shared {
        return Ok(0.0);
    }
    let vocab = model.vocab_size();
    let logits = model.logits(&tokens)?;
    let predicted =
        (shared..tokens.len()).map(|t| log_softmax(&logits[(t - 1) * vocab..][..vocab])[tokens[t] as usize]);
    Ok(predicted.sum())
}

/// Running sums of a set of records.
#[derive(Default)]
struct Tally {
    records: usize,
    nll: ClusteredMean,
    baseline_nll: ClusteredMean,
    kl: ClusteredMean,
    agreement: ClusteredMean,
    choices: ClusteredMean,
}

impl Tally {
    fn add(&mut self, measured: &Measured) {
        self.records += 1;
        match measured {
            Measured::Text(sums) => {
                self.nll.add(sums.nll, sums.tokens);
                if let Some(against) = &sums.against {
                    self.baseline_nll.add(against.nll, sums.tokens);
                    self.kl.add(against.kl, sums.tokens);
                    self.agreement.add(against.agreements, sums.tokens);
                }
            }
            Measured::Choice(right) => self.choices.add(f64::from(*right), 1),
        }
    }

    fn scores(&self) -> Scores {
        let perplexity = |nll: &ClusteredMean| nll.estimate().map(|e| e.map(f64::exp, f64::exp));
        Scores {
            records: self.records,
            tokens: self.nll.tokens(),
            perplexity: perplexity(&self.nll),
            baseline_perplexity: perplexity(&self.baseline_nll),
            kl_nats: self.kl.estimate(),
            top1_agreement: self.agreement.estimate(),
            choice_accuracy: self.choices.estimate(),
        }
    }
}
