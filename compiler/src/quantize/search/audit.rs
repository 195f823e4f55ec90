//! The audit: what a composed plan loses on records that calibration did not see, with upper bounds.

use std::collections::BTreeMap;

use samp_runtime::Progress;

use super::profiling::data_blake3;
use crate::{
    certificate::{HeldOut, StratumQuality},
    quantize::{
        data::TokenRecord,
        divergence::{Baseline, RecordDivergence},
        error::QuantizeError,
        forward::{Forward, State},
        token_batch::TokenBatch,
    },
    statistics::{RecordSum, mean, upper_bound},
};

/// Held-out records, and what the unquantized model says of them.
pub(super) struct Audit {
    batches: Vec<TokenBatch>,
    /// The stratum of each record.
    strata: Vec<String>,
    baseline: Baseline,
    fingerprint: String,
}

impl Audit {
    /// Records the unquantized model's predictions on batches of at most so many tokens, in pages of so many; `forward`
    /// holds its weights.
    pub(super) fn new(
        forward: &mut Forward,
        records: &[TokenRecord],
        [max_tokens, page_tokens]: [usize; 2],
        progress: &dyn Progress,
    ) -> Result<Audit, QuantizeError> {
        let batches = TokenBatch::pack(records, max_tokens, page_tokens);
        progress.begin("recording what the unquantized model predicts", batches.len() as u64);
        let baseline = Baseline::record(forward, &batches, progress)?;
        progress.end();
        let strata = records.iter().map(|record| record.stratum.clone()).collect();
        Ok(Audit { batches, strata, baseline, fingerprint: data_blake3(records) })
    }

    /// What the weights that `forward` holds lose.
    pub(super) fn run(
        &self,
        forward: &mut Forward,
        progress: &dyn Progress,
    ) -> Result<HeldOut, QuantizeError> {
        progress.begin("auditing on the records held out", self.batches.len() as u64);
        let starts = vec![State::default(); self.batches.len()];
        let records = self.baseline.divergences(forward, &self.batches, &starts, progress)?;
        progress.end();
        let mut strata: BTreeMap<String, Vec<RecordDivergence>> = BTreeMap::new();
        for record in &records {
            strata.entry(self.strata[record.record].clone()).or_default().push(*record);
        }
        let quality = |(name, records): (String, Vec<_>)| (name, bounded(&records));
        Ok(HeldOut {
            fingerprint: self.fingerprint.clone(),
            overall: bounded(&records),
            strata: strata.into_iter().map(quality).collect(),
        })
    }
}

/// Means over all tokens, and their upper bounds.
fn bounded(records: &[RecordDivergence]) -> StratumQuality {
    let sums = |sum: fn(&RecordDivergence) -> f64| -> Vec<RecordSum> {
        records.iter().map(|r| RecordSum { sum: sum(r), tokens: r.tokens as f64 }).collect()
    };
    let (nats, nll_growth) = (sums(|r| r.nats), sums(|r| r.nll_growth));
    StratumQuality {
        records: records.len(),
        tokens: records.iter().map(|r| r.tokens).sum(),
        kl_nats: mean(&nats),
        kl_nats_at_most: upper_bound(&nats),
        perplexity_ratio: mean(&nll_growth).exp(),
        perplexity_ratio_at_most: upper_bound(&nll_growth).map(f64::exp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(i: usize) -> RecordDivergence {
        let nats = if i.is_multiple_of(2) { 1.0 } else { 3.0 };
        RecordDivergence { record: i, nats, nll_growth: 0.5, tokens: 100 }
    }

    #[test]
    fn bounds_lie_above_the_means_and_narrow_with_records() {
        let quality = |count: usize| bounded(&(0..count).map(record).collect::<Vec<_>>());
        let (few, many) = (quality(10), quality(1000));
        assert!((few.kl_nats - 0.02).abs() < 1e-12 && few.kl_nats_at_most > many.kl_nats_at_most);
        assert!(many.kl_nats_at_most > Some(0.02) && many.kl_nats_at_most < Some(0.0206));
        assert!((many.perplexity_ratio - 0.005f64.exp()).abs() < 1e-12);
        assert_eq!(many.perplexity_ratio_at_most, Some(many.perplexity_ratio), "all grow by the same");
    }

    #[test]
    fn one_record_bounds_nothing() {
        let one = bounded(&[record(0)]);
        assert_eq!((one.kl_nats, one.kl_nats_at_most, one.perplexity_ratio_at_most), (0.01, None, None));
    }
}
