//! Whether calibration and held-out records overlap: quality measured on what was calibrated on looks better than it is.

use std::collections::BTreeSet;

use samp_ir::Diagnostic;

use super::encode::TokenRecord;
use crate::error_code;

/// Tokens of a run that two unrelated texts do not share by chance.
const RUN: usize = 64;
/// A record overlaps where at least this part of its runs is found elsewhere: a licence header or system prompt in
/// common is less.
const MUCH: f64 = 0.5;

/// How many records hold the same tokens as a calibration record, and how many share most of their runs with some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The same tokens.
    pub equal: usize,
    /// Not the same, but at least half of the runs of 64 tokens.
    pub partly: usize,
}

/// Counts the held-out records that overlap the calibration records.
pub(super) fn overlap(calibration: &[TokenRecord], held_out: &[TokenRecord]) -> Overlap {
    let whole: BTreeSet<&[u32]> = calibration.iter().map(|record| record.tokens.as_slice()).collect();
    let mut known: Vec<u64> = calibration.iter().flat_map(|record| runs(&record.tokens)).collect();
    known.sort_unstable();
    known.dedup();
    let mut found = Overlap::default();
    for record in held_out {
        let own = runs(&record.tokens);
        let shared = own.iter().filter(|run| known.binary_search(run).is_ok()).count();
        if whole.contains(record.tokens.as_slice()) {
            found.equal += 1;
        } else if shared > 0 && shared as f64 >= MUCH * own.len() as f64 {
            found.partly += 1;
        }
    }
    found
}

/// The overlap as a warning, if there is any.
pub(super) fn warning(found: Overlap, held_out: usize, file: &str) -> Option<Diagnostic> {
    (found != Overlap::default()).then(|| {
        let count = found.equal + found.partly;
        let message = format!("{count} of {held_out} held-out records overlap the calibration records");
        Diagnostic::bad_input(error_code::OVERLAP, message)
            .warning()
            .in_file(file)
            .note(format!(
                "{} are the same, {} share at least half of their runs of {RUN} tokens",
                found.equal, found.partly
            ))
            .hint("the loss found on them is too low: leave them out of one of the two")
    })
}

/// Rolling hashes (Rabin–Karp modulo 2^64) of each run of [`RUN`] tokens.
fn runs(tokens: &[u32]) -> Vec<u64> {
    const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
    let value = |token: u32| u64::from(token).wrapping_add(1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let leaving = BASE.wrapping_pow(RUN as u32);
    let mut hash = 0u64;
    let mut all = Vec::with_capacity((tokens.len() + 1).saturating_sub(RUN));
    for (index, &token) in tokens.iter().enumerate() {
        hash = hash.wrapping_mul(BASE).wrapping_add(value(token));
        if let Some(left) = index.checked_sub(RUN) {
            hash = hash.wrapping_sub(value(tokens[left]).wrapping_mul(leaving));
        }
        if index + 1 >= RUN {
            all.push(hash ^ (hash >> 29));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use samp_kernels::random::SplitMix64;

    fn record(tokens: &[u32]) -> TokenRecord {
        TokenRecord { tokens: tokens.to_vec(), stratum: "a".into(), weight: 1.0, chat: false }
    }

    #[test]
    fn copies_and_long_quotations_are_found_and_a_common_header_is_not() {
        let mut random = SplitMix64::new(1);
        let text: Vec<u32> = (0..2000).map(|_| random.below(5000) as u32).collect();
        let calibration = [record(&text[..500]), record(&text[500..600]), record(&[1, 2, 3])];
        let quoting = [&text[100..400], &text[1000..1200]].concat();
        let headed = [&text[..100], &text[1200..1500]].concat();
        let fresh = &text[1500..];
        let held_out =
            [&text[500..600], &[1, 2, 3], &quoting, &headed, fresh, &[1, 2], &text[400..470]].map(record);
        let found = overlap(&calibration, &held_out);
        assert_eq!(found, Overlap { equal: 2, partly: 2 });
        let shown = warning(found, held_out.len(), "eval.jsonl").unwrap().to_string();
        assert!(shown.contains("4 of 7 held-out records"), "{shown}");
        assert_eq!(warning(overlap(&calibration, &held_out[3..6]), 3, ""), None);
    }

    #[test]
    fn a_run_has_one_hash_wherever_it_stands() {
        let tokens: Vec<u32> = (0..300).map(|i| i * i % 97).collect();
        let all = runs(&tokens);
        assert_eq!(all.len(), 300 - RUN + 1);
        for start in [0, 1, 100, 236] {
            assert_eq!(runs(&tokens[start..start + RUN]), [all[start]]);
        }
        assert!(runs(&tokens[..RUN - 1]).is_empty());
    }
}
