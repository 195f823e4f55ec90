//! The calibration records in batches, and how many of the batches each use takes.

use std::cell::OnceCell;

use samp_runtime::Silent;

use super::{
    data::TokenRecord, divergence::Baseline, error::QuantizeError, forward::Forward,
    measure_options::MeasureOptions, token_batch::TokenBatch,
};

/// Calibration tokens as the measurement takes them: of all batches the first ones are behind the Hessians, and of these
/// the first ones tell a divergence.
pub(super) struct CalibrationTokens {
    batches: Vec<TokenBatch>,
    hessian_batches: usize,
    divergence_batches: usize,
    /// The stratum of each record.
    pub(super) strata: Vec<String>,
    baseline: OnceCell<Baseline>,
}

impl CalibrationTokens {
    /// Packs records into batches of at most `max_tokens` tokens; `options` say how many of them are measured on.
    pub(super) fn new(
        records: &[TokenRecord],
        max_tokens: usize,
        page_tokens: usize,
        options: &MeasureOptions,
    ) -> CalibrationTokens {
        let batches = TokenBatch::pack(records, max_tokens, page_tokens);
        let divergence_batches = batches_with(&batches, options.divergence_tokens, TokenBatch::outputs);
        let hessian_batches = batches_with(&batches, options.hessian_tokens, TokenBatch::tokens);
        CalibrationTokens {
            hessian_batches: hessian_batches.max(divergence_batches),
            divergence_batches,
            batches,
            strata: records.iter().map(|record| record.stratum.clone()).collect(),
            baseline: OnceCell::new(),
        }
    }

    /// The batches behind the Hessians, and so behind output errors.
    pub(super) fn for_hessians(&self) -> &[TokenBatch] {
        &self.batches[..self.hessian_batches]
    }

    /// The batches that tell a divergence: the first ones of those behind the Hessians.
    pub(super) fn for_divergence(&self) -> &[TokenBatch] {
        &self.batches[..self.divergence_batches]
    }

    /// What the unquantized model says of the batches that tell a divergence, recorded when it is first asked for; `forward`
    /// holds its weights.
    pub(super) fn baseline(&self, forward: &mut Forward) -> Result<&Baseline, QuantizeError> {
        if let Some(known) = self.baseline.get() {
            return Ok(known);
        }
        let recorded = Baseline::record(forward, self.for_divergence(), &Silent)?;
        Ok(self.baseline.get_or_init(|| recorded))
    }

    /// The first batches with at least so many tokens together, for the final rounding. The rest, and what the unquantized
    /// model said of them, is let go.
    pub(super) fn into_rounding_batches(mut self, tokens: usize) -> Vec<TokenBatch> {
        self.batches.truncate(batches_with(&self.batches, tokens, TokenBatch::tokens));
        self.batches
    }
}

/// How many of the first batches have at least so many tokens together.
pub(super) fn batches_with(batches: &[TokenBatch], least: usize, tokens: fn(&TokenBatch) -> usize) -> usize {
    let sums = batches.iter().scan(0, |sum, batch| {
        *sum += tokens(batch);
        Some(*sum)
    });
    (sums.take_while(|&sum| sum < least).count() + 1).min(batches.len())
}
