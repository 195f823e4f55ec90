//! Names the sample that a plan is calibrated on.

use std::collections::BTreeMap;

use super::{encode::TokenRecord, mix::Mix};
use crate::certificate::{Fingerprint, StratumSize};

/// The fingerprint of a sample. `template` is the chat template's text.
pub(super) fn fingerprint(
    sample: &[TokenRecord],
    mix: &Mix,
    seed: u64,
    template: Option<&str>,
) -> Fingerprint {
    let mut hasher = blake3::Hasher::new();
    let mut strata: BTreeMap<String, StratumSize> = BTreeMap::new();
    let mut lengths = vec![];
    for record in sample {
        let length = record.tokens.len() as u64;
        hasher.update(&length.to_le_bytes()).update(bytemuck::cast_slice(&record.tokens));
        let stratum = strata.entry(record.stratum.clone()).or_default();
        stratum.records += 1;
        stratum.tokens += length;
        let bin = length.max(1).ilog2() as usize;
        lengths.resize(lengths.len().max(bin + 1), 0);
        lengths[bin] += 1;
    }
    let template = template.filter(|_| sample.iter().any(|record| record.chat));
    Fingerprint {
        tokens_blake3: hasher.finalize().to_hex().to_string(),
        strata,
        lengths,
        chat_template_blake3: template.map(|text| blake3::hash(text.as_bytes()).to_hex().to_string()),
        mix: mix.parts().clone(),
        seed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stratum: &str, length: u32, chat: bool) -> TokenRecord {
        TokenRecord { tokens: (0..length).collect(), stratum: stratum.into(), weight: 1.0, chat }
    }

    #[test]
    fn counts_lengths_and_hashes() {
        let records = [record("a", 2, false), record("b", 9, false), record("a", 8, false)];
        let mix = Mix::parse("a=1,b=1").unwrap();
        let found = fingerprint(&records, &mix, 3, Some("template"));
        assert_eq!(found.strata["a"], StratumSize { records: 2, tokens: 10 });
        assert_eq!((&found.lengths, &found.chat_template_blake3), (&vec![0, 1, 0, 2], &None));
        assert_eq!((found.mix["b"], found.seed), (0.5, 3));
        // The boundaries of records count, not only their tokens.
        let other = [record("a", 2, false), record("b", 8, false), record("a", 9, true)];
        let other = fingerprint(&other, &mix, 3, Some("template"));
        assert_ne!(found.tokens_blake3, other.tokens_blake3);
        assert_eq!(other.chat_template_blake3.unwrap(), blake3::hash(b"template").to_hex().to_string());
    }
}
