//! Evaluation: perplexity, divergence from a baseline, agreement and choice accuracy, by stratum and overall.

mod error;
mod records;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rayon::prelude::*;
use samp_runtime::{Conversation, Progress};
use schemars::JsonSchema;
use serde::Serialize;

pub use error::EvalError;
pub use records::{NO_STRATUM, Record, Task, read_records};
pub use statistics::{ClusteredMean, Estimate, argmax, kl_divergence, log_softmax};

/// Something that turns one sequence of tokens into logits.
pub trait LanguageModel {
    /// The number of tokens that it knows.
    fn vocab_size(&self) -> usize;
    /// The longest sequence that it takes.
    fn max_context(&self) -> usize;
    /// Tokens of a text, with whatever starts a text in serving.
    fn tokenize(&self, text: &str) -> Result<Vec<u32>, EvalError>;
    /// Tokens of a conversation, as the model's chat template writes it.
    fn conversation(&self, conversation: &Conversation) -> Result<Vec<u32>, EvalError>;
    /// Logits `[tokens.len(), vocab_size]` after each position, kept until the next call.
    fn logits(&mut self, tokens: &[u32]) -> Result<&[f32], EvalError>;
}

/// The whole evaluation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Evaluation {
    /// Tokens that longer texts were cut to: what was asked for, or what the models take.
    pub max_tokens: usize,
    /// The scores over all records.
    pub overall: Scores,
    /// The records of each stratum.
    pub strata: BTreeMap<String, Scores>,
}

/// What was measured on a set of records. Divergence and agreement need a baseline.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Scores {
    /// How many records there are, those left out included.
    pub records: usize,
    /// Texts of which only the beginning was measured.
    pub truncated: usize,
    /// Questions that were left out, because with one of their choices they exceed the context.
    pub skipped: usize,
    /// How many tokens were predicted.
    pub tokens: u64,
    /// `exp` of the mean negative log-likelihood.
    pub perplexity: Option<Estimate>,
    /// The baseline's perplexity.
    pub baseline_perplexity: Option<Estimate>,
    /// Perplexity over the baseline's, its uncertainty that of the difference on the same records.
    pub perplexity_ratio: Option<Estimate>,
    /// Mean `KL(baseline ‖ plan)`, nats per token.
    pub kl_nats: Option<Estimate>,
    /// Part of the tokens whose most likely successor is the baseline's.
    pub top1_agreement: Option<Estimate>,
    /// Part of the questions answered right, scored by pointwise mutual information.
    pub choice_accuracy: Option<Estimate>,
}

/// Evaluates `model` on `records`, each text cut to its first `max_tokens` tokens and to what both models take, against
/// `baseline` where given. Errors name the record's number.
pub fn evaluate(
    model: &mut dyn LanguageModel,
    mut baseline: Option<&mut dyn LanguageModel>,
    records: &[Record],
    max_tokens: Option<usize>,
    progress: &dyn Progress,
) -> Result<Evaluation, EvalError> {
    progress.begin("evaluating", records.len() as u64);
    let mut overall = RunningScores::default();
    let mut strata: BTreeMap<String, RunningScores> = BTreeMap::new();
    let context = baseline.as_ref().map_or(usize::MAX, |b| b.max_context()).min(model.max_context());
    let max_tokens = max_tokens.unwrap_or(usize::MAX).min(context);
    for record in records {
        let measured = match &record.task {
            Task::Text(text) => model
                .tokenize(text)
                .and_then(|tokens| measure_tokens(model, &mut baseline, tokens, max_tokens)),
            Task::Chat(messages) => model
                .conversation(messages)
                .and_then(|tokens| measure_tokens(model, &mut baseline, tokens, max_tokens)),
            Task::Choice { prompt, choices, answer } => {
                answer_choice(model, prompt, choices).map(|answered| {
                    answered.map_or(RecordScore::Skipped, |index| RecordScore::Choice(index == *answer))
                })
            }
        };
        let measured =
            measured.map_err(|source| EvalError::Record { number: record.number, source: source.into() })?;
        overall.add(&measured);
        strata.entry(record.stratum.clone()).or_default().add(&measured);
        // There is nothing to continue from, so that a wish to stop is passed over.
        let _ = progress.advance("", 1);
    }
    progress.end();
    let strata = strata.into_iter().map(|(name, running)| (name, running.scores())).collect();
    Ok(Evaluation { max_tokens, overall: overall.scores(), strata })
}

/// What one record gave.
enum RecordScore {
    Text(TextSums),
    Choice(bool),
    Skipped,
}

/// Sums over the predicted tokens of one text.
#[derive(Default)]
struct TextSums {
    tokens: usize,
    truncated: bool,
    nll: f64,
    against: Option<BaselineComparison>,
}

/// What a comparison with the baseline gives, for one position or summed over many.
#[derive(Clone, Copy, Default)]
struct BaselineComparison {
    nll: f64,
    kl: f64,
    agreements: f64,
}

fn measure_tokens(
    model: &mut dyn LanguageModel,
    baseline: &mut Option<&mut dyn LanguageModel>,
    mut tokens: Vec<u32>,
    max_tokens: usize,
) -> Result<RecordScore, EvalError> {
    let truncated = tokens.len() > max_tokens;
    tokens.truncate(max_tokens);
    if tokens.len() < 2 {
        return Ok(RecordScore::Text(TextSums { truncated, ..TextSums::default() }));
    }
    let vocab = model.vocab_size();
    let logits = finite_logits(model, &tokens, "the plan")?;
    let base_logits =
        baseline.as_mut().map(|b| finite_logits(&mut **b, &tokens, "the baseline")).transpose()?;
    let positions: Vec<PositionScore> = (1..tokens.len())
        .into_par_iter()
        .map(|next| {
            let row = (next - 1) * vocab..next * vocab;
            let base_row = base_logits.map(|logits| &logits[row.clone()]);
            measure_position(&logits[row.clone()], base_row, tokens[next] as usize)
        })
        .collect();
    // Summed in order, so that the result does not depend on the threads.
    let mut sums = TextSums { tokens: positions.len(), truncated, ..TextSums::default() };
    for PositionScore { nll, against } in positions {
        sums.nll += nll;
        if let Some(against) = against {
            let total = sums.against.get_or_insert_default();
            total.nll += against.nll;
            total.kl += against.kl;
            total.agreements += against.agreements;
        }
    }
    Ok(RecordScore::Text(sums))
}

/// The model's logits, none of which may be infinite or NaN: no figure that they enter would mean anything.
fn finite_logits<'m>(
    model: &'m mut dyn LanguageModel,
    tokens: &[u32],
    whose: &'static str,
) -> Result<&'m [f32], EvalError> {
    let vocab = model.vocab_size();
    let logits = model.logits(tokens)?;
    match logits.iter().position(|logit| !logit.is_finite()) {
        None => Ok(logits),
        Some(at) => {
            Err(EvalError::NotFinite { whose, logit: logits[at], token: at % vocab, position: at / vocab })
        }
    }
}

/// What one position gives.
struct PositionScore {
    /// Negative log-likelihood of the token that follows.
    nll: f64,
    against: Option<BaselineComparison>,
}

/// Scores the token `next` under `row`, and `row` against the baseline's.
fn measure_position(row: &[f32], base_row: Option<&[f32]>, next: usize) -> PositionScore {
    let log_q = log_softmax(row);
    let against = base_row.map(|base_row| {
        let log_p = log_softmax(base_row);
        BaselineComparison {
            nll: -log_p[next],
            kl: kl_divergence(&log_p, &log_q),
            agreements: f64::from(argmax(row) == argmax(base_row)),
        }
    });
    PositionScore { nll: -log_q[next], against }
}

/// The choice with the largest pointwise mutual information `ln p(choice | prompt) − ln p(choice)`; `None` if one of them
/// does not fit the context.
fn answer_choice(
    model: &mut dyn LanguageModel,
    prompt: &str,
    choices: &[String],
) -> Result<Option<usize>, EvalError> {
    let mut best = (f64::NEG_INFINITY, 0);
    for (index, choice) in choices.iter().enumerate() {
        let given_prompt = continuation_log_likelihood(model, prompt, choice)?;
        let alone = continuation_log_likelihood(model, "", choice)?;
        let (Some(given_prompt), Some(alone)) = (given_prompt, alone) else { return Ok(None) };
        if given_prompt - alone > best.0 {
            best = (given_prompt - alone, index);
        }
    }
    Ok(Some(best.1))
}

/// `ln p(continuation | prefix)`; `None` if both together do not fit the context. The continuation's tokens are those
/// after the prefix's own in the joint text.
fn continuation_log_likelihood(
    model: &mut dyn LanguageModel,
    prefix: &str,
    continuation: &str,
) -> Result<Option<f64>, EvalError> {
    let head = model.tokenize(prefix)?;
    let tokens = model.tokenize(&format!("{prefix}{continuation}"))?;
    if tokens.len() > model.max_context() {
        return Ok(None);
    }
    let shared = head.iter().zip(&tokens).take_while(|(a, b)| a == b).count().max(1);
    if tokens.len() <= shared {
        return Ok(Some(0.0));
    }
    let vocab = model.vocab_size();
    let logits = finite_logits(model, &tokens, "the plan")?;
    let predicted =
        (shared..tokens.len()).map(|t| log_softmax(&logits[(t - 1) * vocab..][..vocab])[tokens[t] as usize]);
    Ok(Some(predicted.sum()))
}

/// Running sums of a set of records.
#[derive(Default)]
struct RunningScores {
    records: usize,
    truncated: usize,
    skipped: usize,
    nll: ClusteredMean,
    baseline_nll: ClusteredMean,
    nll_growth: ClusteredMean,
    kl: ClusteredMean,
    agreement: ClusteredMean,
    choices: ClusteredMean,
}

impl RunningScores {
    fn add(&mut self, measured: &RecordScore) {
        self.records += 1;
        match measured {
            RecordScore::Text(sums) => {
                self.truncated += usize::from(sums.truncated);
                self.nll.add(sums.nll, sums.tokens);
                if let Some(against) = &sums.against {
                    self.baseline_nll.add(against.nll, sums.tokens);
                    self.nll_growth.add(sums.nll - against.nll, sums.tokens);
                    self.kl.add(against.kl, sums.tokens);
                    self.agreement.add(against.agreements, sums.tokens);
                }
            }
            RecordScore::Choice(right) => self.choices.add(f64::from(*right), 1),
            RecordScore::Skipped => self.skipped += 1,
        }
    }

    fn scores(&self) -> Scores {
        let perplexity = |nll: &ClusteredMean| nll.estimate().map(|e| e.map(f64::exp, f64::exp));
        Scores {
            records: self.records,
            truncated: self.truncated,
            skipped: self.skipped,
            tokens: self.nll.tokens(),
            perplexity: perplexity(&self.nll),
            baseline_perplexity: perplexity(&self.baseline_nll),
            perplexity_ratio: perplexity(&self.nll_growth),
            kl_nats: self.kl.estimate(),
            top1_agreement: self.agreement.estimate(),
            choice_accuracy: self.choices.estimate(),
        }
    }
}
