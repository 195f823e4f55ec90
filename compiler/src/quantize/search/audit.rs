//! The audit: what a composed plan loses on records that calibration did not see, with bounds by a paired bootstrap.

use std::collections::BTreeMap;

use samp_kernels::random::SplitMix64;

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
};

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;
/// The one-sided bounds hold with this probability.
const CONFIDENCE: f64 = 0.95;

/// Held-out records, and what the unquantized model says of them.
pub(super) struct Audit {
    batches: Vec<TokenBatch>,
    /// The stratum of each record.
    strata: Vec<String>,
    baseline: Baseline,
    fingerprint: String,
    seed: u64,
}

impl Audit {
    /// Records the unquantized model's predictions; `forward` holds its weights.
    pub(super) fn new(
        forward: &mut Forward,
        records: &[TokenRecord],
        max_tokens: usize,
        page_tokens: usize,
        seed: u64,
    ) -> Result<Audit, QuantizeError> {
        let batches = TokenBatch::pack(records, max_tokens, page_tokens);
        let baseline = Baseline::record(forward, &batches)?;
        let strata = records.iter().map(|record| record.stratum.clone()).collect();
        Ok(Audit { batches, strata, baseline, fingerprint: data_blake3(records), seed })
    }

    /// What the weights that `forward` holds lose.
    pub(super) fn run(&self, forward: &mut Forward) -> Result<HeldOut, QuantizeError> {
        let starts = vec![State::default(); self.batches.len()];
        let records = self.baseline.divergences(forward, &self.batches, &starts)?;
        let mut strata: BTreeMap<String, Vec<RecordDivergence>> = BTreeMap::new();
        for record in &records {
            strata.entry(self.strata[record.record].clone()).or_default().push(*record);
        }
        let quality = |(name, records): (String, Vec<_>)| (name, bootstrap(&records, self.seed));
        Ok(HeldOut {
            fingerprint: self.fingerprint.clone(),
            overall: bootstrap(&records, self.seed),
            strata: strata.into_iter().map(quality).collect(),
        })
    }
}

/// Means over all tokens, and their upper bounds.
fn bootstrap(records: &[RecordDivergence], seed: u64) -> StratumQuality {
    let all: Vec<usize> = (0..records.len()).collect();
    let (kl, nll_growth) = means(records, &all);
    let mut random = SplitMix64::new(seed);
    let (mut kls, mut nll_growths): (Vec<f64>, Vec<f64>) = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<usize> = all.iter().map(|_| random.below(records.len())).collect();
            means(records, &drawn)
        })
        .unzip();
    StratumQuality {
        records: records.len(),
        tokens: records.iter().map(|r| r.tokens).sum(),
        kl_nats: kl,
        kl_nats_at_most: quantile(&mut kls).max(kl),
        perplexity_ratio: nll_growth.exp(),
        perplexity_ratio_at_most: quantile(&mut nll_growths).max(nll_growth).exp(),
    }
}

fn means(records: &[RecordDivergence], drawn: &[usize]) -> (f64, f64) {
    let mut sums = (0.0, 0.0, 0.0);
    for &index in drawn {
        let record = &records[index];
        sums = (sums.0 + record.nats, sums.1 + record.nll_growth, sums.2 + record.tokens as f64);
    }
    (sums.0 / sums.2.max(1.0), sums.1 / sums.2.max(1.0))
}

fn quantile(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (CONFIDENCE * values.len() as f64).ceil() as usize;
    values.get(at.max(1) - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_lie_above_the_means_and_narrow_with_records() {
        let record = |i: usize| RecordDivergence {
            record: i,
            nats: if i.is_multiple_of(2) { 1.0 } else { 3.0 },
            nll_growth: 0.5,
            tokens: 100,
        };
        let few = bootstrap(&(0..10).map(record).collect::<Vec<_>>(), 1);
        let many = bootstrap(&(0..1000).map(record).collect::<Vec<_>>(), 1);
        assert!((few.kl_nats - 0.02).abs() < 1e-12 && few.kl_nats_at_most > many.kl_nats_at_most);
        assert!(many.kl_nats_at_most > 0.02 && many.kl_nats_at_most < 0.0206);
        assert!((many.perplexity_ratio - 0.005f64.exp()).abs() < 1e-12);
        assert_eq!(few, bootstrap(&(0..10).map(record).collect::<Vec<_>>(), 1));
    }
}
