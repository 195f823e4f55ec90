//! Whether the calibration data is like the traffic: the token distributions of the two, stratum by stratum.
//!
//! Two samples of the same source differ by chance, and tokens of one record are no independent draws. So the divergence
//! found is held against those of the same records dealt out anew (a permutation test over records).

use std::collections::{BTreeMap, BTreeSet};

use samp_ir::Diagnostic;
use samp_kernels::random::SplitMix64;

use super::encode::{Encoder, TokenRecord};
use crate::{error_code, jsonl::NO_STRATUM};

/// How often the records are dealt out anew; a difference by chance alone exceeds all of them once in a hundred.
const DEALS: usize = 99;
/// Divergence beyond chance below which nothing is said, in nats; the most there is is ln 2.
const SLIGHT: f64 = 0.01;
/// Tokens that are named.
const NAMED: usize = 5;

/// How calibration and traffic differ in one stratum.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// Jensen–Shannon divergence of the token distributions, nats.
    pub nats: f64,
    /// The largest among the same records dealt out anew, nats.
    pub by_chance: f64,
    /// The tokens that contribute most: id, part of the calibration tokens, part of the traffic tokens.
    pub tokens: Vec<(u32, f64, f64)>,
}

impl Difference {
    /// Whether it is more than chance explains.
    pub(super) fn is_real(&self) -> bool {
        self.nats > self.by_chance && self.nats - self.by_chance > SLIGHT
    }
}

/// Warns of each stratum that differs from the traffic, and of traffic that no stratum stands for. All records are compared
/// as one where either side has no strata.
pub(super) fn compare(
    calibration: &[TokenRecord],
    traffic: &[TokenRecord],
    encoder: &Encoder,
    file: &str,
    seed: u64,
) -> Vec<Diagnostic> {
    let strata = |records: &[TokenRecord]| -> BTreeSet<String> {
        records.iter().map(|record| record.stratum.clone()).collect()
    };
    let (own, theirs) = (strata(calibration), strata(traffic));
    let none = |strata: &BTreeSet<String>| strata.iter().all(|name| name == NO_STRATUM);
    if none(&own) || none(&theirs) {
        let all = |records: &[TokenRecord]| records.iter().map(|r| r.tokens.clone()).collect::<Vec<_>>();
        let found = difference(&all(calibration), &all(traffic), seed);
        return warning("the calibration data", &found, encoder, file).into_iter().collect();
    }
    let of = |records: &[TokenRecord], name: &str| -> Vec<Vec<u32>> {
        records.iter().filter(|r| r.stratum == name).map(|r| r.tokens.clone()).collect()
    };
    let each = own.intersection(&theirs).filter_map(|name| {
        let found = difference(&of(calibration, name), &of(traffic, name), seed);
        warning(&format!("the stratum `{name}`"), &found, encoder, file)
    });
    let mut warnings: Vec<Diagnostic> = each.collect();
    let missing: Vec<&str> = theirs.difference(&own).map(String::as_str).collect();
    if !missing.is_empty() {
        let message = format!("the traffic has strata that are not calibrated on: {}", missing.join(", "));
        let finding = Diagnostic::bad_input(error_code::UNLIKE_TRAFFIC, message).warning().in_file(file);
        warnings.push(finding.hint("add records of them to the calibration data"));
    }
    warnings
}

fn warning(what: &str, found: &Difference, encoder: &Encoder, file: &str) -> Option<Diagnostic> {
    if !found.is_real() {
        return None;
    }
    let message = format!(
        "{what} is unlike the traffic: the Jensen–Shannon divergence of their tokens is {:.3} nats, by chance at most {:.3}",
        found.nats, found.by_chance
    );
    let finding = Diagnostic::bad_input(error_code::UNLIKE_TRAFFIC, message).warning().in_file(file);
    let named = found.tokens.iter().map(|&(id, own, theirs)| {
        let text = encoder.decode(id);
        format!("{text:?}: {:.2} % of its tokens, {:.2} % of the traffic's", 100.0 * own, 100.0 * theirs)
    });
    Some(named.fold(finding, Diagnostic::note).hint("calibrate on records drawn from the traffic"))
}

/// The difference between two sets of records.
pub(super) fn difference(calibration: &[Vec<u32>], traffic: &[Vec<u32>], seed: u64) -> Difference {
    let mut vocabulary: Vec<u32> = calibration.iter().chain(traffic).flatten().copied().collect();
    vocabulary.sort_unstable();
    vocabulary.dedup();
    let counted = |record: &Vec<u32>| -> Vec<(usize, u64)> {
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for token in record {
            *counts.entry(vocabulary.binary_search(token).expect("collected above")).or_default() += 1;
        }
        counts.into_iter().collect()
    };
    let records: Vec<Vec<(usize, u64)>> = calibration.iter().chain(traffic).map(counted).collect();
    let mut order: Vec<usize> = (0..records.len()).collect();
    let contributions = |order: &[usize]| {
        let (own, theirs) = order.split_at(calibration.len());
        contributions(
            &frequencies(&records, own, vocabulary.len()),
            &frequencies(&records, theirs, vocabulary.len()),
        )
    };
    let found = contributions(&order);
    let mut largest: Vec<usize> = (0..found.len()).collect();
    largest.sort_by(|&a, &b| found[b].0.total_cmp(&found[a].0).then(a.cmp(&b)));
    let tokens = largest.iter().take(NAMED).map(|&i| (vocabulary[i], found[i].1, found[i].2)).collect();
    let mut random = SplitMix64::new(seed);
    let mut by_chance = 0f64;
    for _ in 0..DEALS {
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        by_chance = by_chance.max(contributions(&order).iter().map(|c| c.0).sum());
    }
    Difference { nats: found.iter().map(|c| c.0).sum(), by_chance, tokens }
}

fn frequencies(records: &[Vec<(usize, u64)>], drawn: &[usize], vocabulary: usize) -> Vec<f64> {
    let mut counts = vec![0u64; vocabulary];
    for &(token, count) in drawn.iter().flat_map(|&record| &records[record]) {
        counts[token] += count;
    }
    let total = counts.iter().sum::<u64>().max(1) as f64;
    counts.into_iter().map(|count| count as f64 / total).collect()
}

/// What each token contributes to the Jensen–Shannon divergence (Lin, 1991) in nats, beside its two frequencies.
fn contributions(p: &[f64], q: &[f64]) -> Vec<(f64, f64, f64)> {
    let half = |x: f64, middle: f64| if x > 0.0 { 0.5 * x * (x / middle).ln() } else { 0.0 };
    p.iter().zip(q).map(|(&p, &q)| (half(p, 0.5 * (p + q)) + half(q, 0.5 * (p + q)), p, q)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of tokens below 50, of which `more` makes one more frequent.
    fn records(count: usize, more: Option<u32>, random: &mut SplitMix64) -> Vec<Vec<u32>> {
        let token = |random: &mut SplitMix64| match more {
            Some(token) if random.below(4) == 0 => token,
            _ => random.below(50) as u32,
        };
        (0..count).map(|_| (0..100).map(|_| token(random)).collect()).collect()
    }

    #[test]
    fn a_difference_beyond_chance_is_told_with_its_tokens() {
        let mut random = SplitMix64::new(2);
        let (a, b) = (records(60, None, &mut random), records(40, None, &mut random));
        let alike = difference(&a, &b, 0);
        assert!(!alike.is_real(), "{alike:?}");
        let found = difference(&a, &records(40, Some(7), &mut random), 0);
        assert!(found.is_real() && found.tokens.len() == NAMED, "{found:?}");
        let (token, own, theirs) = found.tokens[0];
        assert_eq!(token, 7);
        assert!((own - 0.02).abs() < 0.01 && (theirs - 0.265).abs() < 0.03);
    }

    #[test]
    fn the_divergence_is_that_of_the_definition() {
        let found = difference(&[vec![1, 1, 2, 3]], &[vec![2, 3, 3, 3]], 0);
        let kl = |p: [f64; 3], q: [f64; 3]| -> f64 {
            p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum()
        };
        let (p, q, m) = ([0.5, 0.25, 0.25], [0.0, 0.25, 0.75], [0.25, 0.25, 0.5]);
        assert!((found.nats - 0.5 * (kl(p, m) + kl(q, m))).abs() < 1e-15);
        let disjoint = difference(&[vec![1, 1]], &[vec![2, 2]], 0);
        assert!((disjoint.nats - std::f64::consts::LN_2).abs() < 1e-15);
        // One record on each side: whichever way they are dealt, the divergence is the same.
        assert!(!disjoint.is_real());
    }
}
