//! What was measured survives an interruption: a line for each weight and each format of the KV cache, each line with its own
//! hash.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use samp_abi::Format;
use samp_runtime::outside_file::read_regular_text;
use serde::{Deserialize, Serialize};

use crate::{
    certificate::{CacheLoss, WeightProfile},
    quantize::error::QuantizeError,
};

/// File name in the work folder.
const FILE: &str = "measured.jsonl";
/// What is larger is no journal.
const MAX_BYTES: u64 = 1 << 28;

/// The open journal, with what it held.
pub(super) struct Journal {
    file: RefCell<File>,
    /// Weights by their names.
    pub weights: BTreeMap<String, WeightProfile>,
    caches: Vec<Cache>,
}

/// Something measured.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Weight(WeightProfile),
    Cache(Cache),
}

/// What a KV cache loses with these scales, where it has any.
#[derive(Serialize, Deserialize)]
struct Cache {
    scales: Option<Vec<[f32; 2]>>,
    loss: CacheLoss,
}

/// Opens the journal in `work` for the measurement named `fingerprint`; what it holds of another one, or damaged lines,
/// are let go.
pub(super) fn open(work: &Path, fingerprint: &str) -> io::Result<Journal> {
    let path = work.join(FILE);
    let text = read_regular_text(&path, MAX_BYTES).unwrap_or_default();
    let mut lines = text.lines();
    let same = lines.next() == Some(fingerprint);
    let entries: Vec<Entry> = if same { lines.map_while(parse).collect() } else { vec![] };
    // Written anew, so that a torn last line is gone.
    let mut kept = format!("{fingerprint}\n");
    entries.iter().for_each(|entry| kept += &line(entry));
    std::fs::write(&path, kept)?;
    let file = OpenOptions::new().append(true).open(&path)?;
    let mut journal = Journal { file: RefCell::new(file), weights: BTreeMap::new(), caches: vec![] };
    for entry in entries {
        match entry {
            Entry::Weight(weight) => drop(journal.weights.insert(weight.key.clone(), weight)),
            Entry::Cache(cache) => journal.caches.push(cache),
        }
    }
    Ok(journal)
}

impl Journal {
    /// Notes a finished weight.
    pub(super) fn note_weight(&self, weight: &WeightProfile) -> Result<(), QuantizeError> {
        self.append(&Entry::Weight(weight.clone()))
    }

    /// What a cache in this format with these scales was measured to lose.
    pub(super) fn cache(&self, format: Format, scales: Option<&[[f32; 2]]>) -> Option<&CacheLoss> {
        let same = |cache: &&Cache| cache.loss.format == format && cache.scales.as_deref() == scales;
        self.caches.iter().find(same).map(|cache| &cache.loss)
    }

    /// Notes what a cache with these scales loses.
    pub(super) fn note_cache(
        &self,
        loss: &CacheLoss,
        scales: Option<&[[f32; 2]]>,
    ) -> Result<(), QuantizeError> {
        self.append(&Entry::Cache(Cache { scales: scales.map(<[_]>::to_vec), loss: loss.clone() }))
    }

    fn append(&self, entry: &Entry) -> Result<(), QuantizeError> {
        let mut file = self.file.borrow_mut();
        file.write_all(line(entry).as_bytes()).map_err(QuantizeError::Journal)
    }
}

fn line(entry: &Entry) -> String {
    let json = serde_json::to_string(entry).expect("finite numbers and string keys");
    format!("{} {json}\n", blake3::hash(json.as_bytes()).to_hex())
}

fn parse(line: &str) -> Option<Entry> {
    let (hash, json) = line.split_once(' ')?;
    let holds = blake3::hash(json.as_bytes()).to_hex().as_str() == hash;
    serde_json::from_str(json).ok().filter(|_| holds)
}

#[cfg(test)]
mod tests {
    use samp_abi::ScaleAxis;

    use super::*;
    use crate::certificate::Divergence;

    #[test]
    fn caches_are_known_by_their_scales_and_a_torn_line_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let fp8 = Format::Fp8E4m3(ScaleAxis::Tensor);
        let loss = |format, nats| CacheLoss {
            format,
            divergence: Divergence { measured: true, nats, strata: [("a".into(), nats)].into() },
        };
        let first = open(dir.path(), "f").unwrap();
        let weight =
            WeightProfile { key: "w".into(), rows: 1, cols: 1, inputs: None, formats: vec![], parts: vec![] };
        first.note_weight(&weight).unwrap();
        first.note_cache(&loss(Format::F16, 0.1), None).unwrap();
        first.note_cache(&loss(fp8, 0.3), Some(&[[0.5, 2.0]])).unwrap();
        assert!(first.cache(Format::F16, None).is_none(), "only what it held when it was opened");
        let path = dir.path().join(FILE);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text += "0123 {\"cache";
        std::fs::write(&path, text).unwrap();
        let again = open(dir.path(), "f").unwrap();
        assert_eq!(again.weights.get("w"), Some(&weight));
        assert_eq!(again.cache(Format::F16, None), Some(&loss(Format::F16, 0.1)));
        assert_eq!(again.cache(fp8, Some(&[[0.5, 2.0]])), Some(&loss(fp8, 0.3)));
        assert_eq!(again.cache(fp8, Some(&[[1.0, 2.0]])), None, "of other scales");
        let other = open(dir.path(), "g").unwrap();
        assert!(other.weights.is_empty() && other.cache(Format::F16, None).is_none());
    }
}
