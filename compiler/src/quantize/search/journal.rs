//! What was measured survives an interruption: a line for each weight and each format of the KV cache, each line with its own
//! hash. Each measurement has a file of its own, so that one on other data or with other options never costs what another
//! one found.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use samp_abi::Format;
use samp_runtime::outside_file::read_regular_text;
use serde::{Deserialize, Serialize};

use crate::{
    certificate::{CacheLoss, WeightProfile},
    quantize::error::QuantizeError,
};

/// How the names of journals in the work folder begin and end; between them is what names the measurement.
const NAME: [&str; 2] = ["measured", ".jsonl"];
/// So many hex digits of a fingerprint tell the measurements of a folder apart.
const DIGITS: usize = 16;
/// What is larger is no journal.
const MAX_BYTES: u64 = 1 << 28;

/// The open journal, with what it held.
pub(super) struct Journal {
    file: RefCell<File>,
    /// Weights by their names.
    pub weights: BTreeMap<String, WeightProfile>,
    caches: Vec<Cache>,
}

/// What a measurement depends on: what each condition is called on the command line, and what it was.
pub(super) type Conditions = Vec<(String, String)>;

/// Something measured, or under what everything in the journal was.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Conditions(Conditions),
    Weight(WeightProfile),
    Cache(Cache),
}

/// What a KV cache loses with these scales, where it has any.
#[derive(Serialize, Deserialize)]
struct Cache {
    scales: Option<Vec<[f32; 2]>>,
    loss: CacheLoss,
}

/// Opens the journal in `work` of the measurement named `fingerprint`, which is made under these conditions; damaged lines
/// are let go. Where nothing was measured so before, what was measured otherwise is said to `set_aside`.
pub(super) fn open(
    work: &Path,
    fingerprint: &str,
    conditions: &Conditions,
    set_aside: &dyn Fn(&str),
) -> io::Result<Journal> {
    let path = work.join(file_name(fingerprint));
    let known = if path.exists() { entries(&path) } else { vec![] };
    if known.is_empty() {
        others(work, &path).iter().filter_map(|other| said_of(other, conditions)).for_each(|s| set_aside(&s));
    }
    let measured: Vec<Entry> = known.into_iter().filter(|e| !matches!(e, Entry::Conditions(_))).collect();
    // Written anew, so that a torn last line is gone.
    let mut kept = format!("{fingerprint}\n{}", line(&Entry::Conditions(conditions.clone())));
    measured.iter().for_each(|entry| kept += &line(entry));
    fs::write(&path, kept)?;
    let file = OpenOptions::new().append(true).open(&path)?;
    let mut journal = Journal { file: RefCell::new(file), weights: BTreeMap::new(), caches: vec![] };
    for entry in measured {
        match entry {
            Entry::Conditions(_) => {}
            Entry::Weight(weight) => drop(journal.weights.insert(weight.key.clone(), weight)),
            Entry::Cache(cache) => journal.caches.push(cache),
        }
    }
    Ok(journal)
}

/// The name of the journal of the measurement with this fingerprint.
fn file_name(fingerprint: &str) -> String {
    let digits = fingerprint.get(..DIGITS).unwrap_or(fingerprint);
    format!("{}-{digits}{}", NAME[0], NAME[1])
}

/// The whole lines of a journal, the fingerprint aside.
fn entries(path: &Path) -> Vec<Entry> {
    let text = read_regular_text(path, MAX_BYTES).unwrap_or_default();
    text.lines().skip(1).map_while(parse).collect()
}

/// The journals of other measurements in a work folder.
fn others(work: &Path, own: &Path) -> Vec<PathBuf> {
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(NAME[0]) && name.ends_with(NAME[1]) && path != own
    };
    let found = fs::read_dir(work).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.path()).filter(named).collect();
    paths.sort();
    paths
}

/// That what a journal holds is of no use under these conditions, with what differs; `None` where it holds nothing.
fn said_of(journal: &Path, conditions: &Conditions) -> Option<String> {
    let entries = entries(journal);
    let weights = entries.iter().filter(|entry| matches!(entry, Entry::Weight(_))).count();
    let before = entries.iter().find_map(|entry| match entry {
        Entry::Conditions(before) => Some(before),
        _ => None,
    });
    let differs = |(name, now): &&(String, String)| {
        before.is_some_and(|before| before.iter().any(|(n, then)| n == name && then != now))
    };
    let differing: Vec<&str> = conditions.iter().filter(differs).map(|(name, _)| name.as_str()).collect();
    let why = match differing.as_slice() {
        [] => "other limits of sequences and steps".into(),
        names => format!("other {}", names.join(" and other ")),
    };
    (weights > 0).then(|| {
        let (many, are) = if weights == 1 { ("weight", "is") } else { ("weights", "are") };
        format!(
            "warning: {weights} {many} measured before with {why} {are} set aside, and everything is measured anew; until \
             that is done the earlier options go on from {}",
            journal.display()
        )
    })
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

    fn conditions(data: &str) -> Conditions {
        [("--formats", "nf4"), ("calibration data", data)].map(|(a, b)| (a.into(), b.into())).into()
    }

    /// The journal, and what is said of others.
    fn opened(work: &Path, fingerprint: &str, data: &str) -> (Journal, Vec<String>) {
        let said = RefCell::new(vec![]);
        let set_aside = |text: &str| said.borrow_mut().push(text.to_owned());
        let journal = open(work, fingerprint, &conditions(data), &set_aside).unwrap();
        (journal, said.into_inner())
    }

    fn weight() -> WeightProfile {
        WeightProfile { key: "w".into(), rows: 1, cols: 1, inputs: None, formats: vec![], parts: vec![] }
    }

    #[test]
    fn caches_are_known_by_their_scales_and_a_torn_line_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let fp8 = Format::Fp8E4m3(ScaleAxis::Tensor);
        let loss = |format, nats| CacheLoss {
            format,
            divergence: Divergence { measured: true, nats, strata: [("a".into(), nats)].into() },
        };
        let (first, _) = opened(dir.path(), "f", "a");
        first.note_weight(&weight()).unwrap();
        first.note_cache(&loss(Format::F16, 0.1), None).unwrap();
        first.note_cache(&loss(fp8, 0.3), Some(&[[0.5, 2.0]])).unwrap();
        assert!(first.cache(Format::F16, None).is_none(), "only what it held when it was opened");
        let path = dir.path().join(file_name("f"));
        let mut text = std::fs::read_to_string(&path).unwrap();
        text += "0123 {\"cache";
        std::fs::write(&path, text).unwrap();
        let (again, said) = opened(dir.path(), "f", "a");
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(again.weights.get("w"), Some(&weight()));
        assert_eq!(again.cache(Format::F16, None), Some(&loss(Format::F16, 0.1)));
        assert_eq!(again.cache(fp8, Some(&[[0.5, 2.0]])), Some(&loss(fp8, 0.3)));
        assert_eq!(again.cache(fp8, Some(&[[1.0, 2.0]])), None, "of other scales");
    }

    #[test]
    fn what_was_measured_otherwise_is_set_aside_with_a_word_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (first, said) = opened(dir.path(), "f", "a");
        assert!(said.is_empty(), "{said:?}");
        let (_, said) = opened(dir.path(), "empty", "c");
        assert!(said.is_empty(), "nothing was measured: {said:?}");
        first.note_weight(&weight()).unwrap();
        let (other, said) = opened(dir.path(), "g", "b");
        assert!(other.weights.is_empty() && other.cache(Format::F16, None).is_none());
        let [said] = &said[..] else { panic!("{said:?}") };
        assert!(said.starts_with("warning: 1 weight measured before with other calibration data"), "{said}");
        assert!(said.contains("set aside") && said.contains("measured-f.jsonl"), "{said}");
        let (_, said) = opened(dir.path(), "h", "a");
        assert!(said[0].contains("other limits of sequences and steps"), "{said:?}");
        let (back, said) = opened(dir.path(), "f", "a");
        assert!(back.weights.contains_key("w") && said.is_empty(), "{said:?}");
    }
}
