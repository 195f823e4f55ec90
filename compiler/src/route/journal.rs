//! What was measured survives an interruption: a line for each weight, each line with its own hash.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use crate::calibrate::{CalibrationError, WeightProfile};

/// File name in the work folder.
const FILE: &str = "measured.jsonl";

/// The open journal.
pub struct Journal {
    file: RefCell<File>,
}

/// Opens the journal in `work` for the measurement named `fingerprint`; what it holds of another one, or damaged lines,
/// are let go.
pub fn open(work: &Path, fingerprint: &str) -> io::Result<(Journal, BTreeMap<String, WeightProfile>)> {
    let path = work.join(FILE);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut lines = text.lines();
    let same = lines.next() == Some(fingerprint);
    let known: BTreeMap<String, WeightProfile> =
        if same { lines.map_while(parse).map(|w| (w.key.clone(), w)).collect() } else { BTreeMap::new() };
    // Written anew, so that a torn last line is gone.
    let mut kept = format!("{fingerprint}\n");
    known.values().for_each(|weight| kept += &line(weight));
    std::fs::write(&path, kept)?;
    let file = OpenOptions::new().append(true).open(&path)?;
    Ok((Journal { file: RefCell::new(file) }, known))
}

impl Journal {
    /// Notes a finished weight.
    pub fn append(&self, weight: &WeightProfile) -> Result<(), CalibrationError> {
        let mut file = self.file.borrow_mut();
        file.write_all(line(weight).as_bytes()).map_err(CalibrationError::Journal)
    }
}

fn line(weight: &WeightProfile) -> String {
    let json = serde_json::to_string(weight).expect("finite numbers and string keys");
    format!("{} {json}\n", blake3::hash(json.as_bytes()).to_hex())
}

fn parse(line: &str) -> Option<WeightProfile> {
    let (hash, json) = line.split_once(' ')?;
    let holds = blake3::hash(json.as_bytes()).to_hex().as_str() == hash;
    serde_json::from_str(json).ok().filter(|_| holds)
}
