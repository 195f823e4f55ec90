//! What an interrupted compile had finished: one line per tensor, after a first line that names all inputs. A line is
//! the BLAKE3 of its JSON, a space, and the JSON.
//!
//! The journal is only a hint. A resumed compile believes a line when it has its own hash (the hashes of the sources
//! go into the manifest as they stand there) and the bytes on disk have the hashes that it gives, so a torn line,
//! lost blocks or a damaged file cost time, never correctness.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};

use samp_runtime::outside_file::read_regular;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    error::{During, EmitError},
    hash::blake3_hex,
};

/// A journal has a line of a few hundred bytes for each tensor; what is larger is none.
const MAX_BYTES: u64 = 1 << 28;

/// A finished tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedTensor {
    /// Its index in the specification.
    pub tensor: usize,
    /// BLAKE3 of each source.
    pub sources: Vec<String>,
    /// BLAKE3 of each part.
    pub parts: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    fingerprint: String,
}

/// The journal, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Opens the journal at `path` and reads the lines of a run with the same `fingerprint`; anything else is
    /// dropped and a new journal begun. `tensors` is their number.
    pub(super) fn open(
        path: &Path,
        fingerprint: &str,
        tensors: usize,
    ) -> Result<(Journal, Vec<Option<PackedTensor>>), EmitError> {
        let finished = read(path, fingerprint, tensors);
        let mut text = line(&Head { fingerprint: fingerprint.into() });
        finished.iter().flatten().for_each(|tensor| text.push_str(&line(tensor)));
        // Written anew, so that what follows a torn last line does not become part of it.
        let next = path.with_extension("next");
        fs::write(&next, text).during("writing", &next)?;
        fs::rename(&next, path).during("writing", path)?;
        let file = File::options().append(true).open(path).during("opening", path)?;
        Ok((Journal { path: path.into(), file: Mutex::new(file) }, finished))
    }

    /// Notes a tensor whose bytes have been written.
    pub(super) fn append(&self, finished: &PackedTensor) -> Result<(), EmitError> {
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        file.write_all(line(finished).as_bytes()).during("writing", &self.path)
    }
}

fn line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("plain data");
    format!("{} {json}\n", blake3_hex(json.as_bytes()))
}

/// What a line holds, if it is whole.
fn entry<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let at = line.iter().position(|&b| b == b' ')?;
    let (hash, json) = (&line[..at], &line[at + 1..]);
    (blake3_hex(json).as_bytes() == hash).then(|| serde_json::from_slice(json).ok())?
}

fn read(path: &Path, fingerprint: &str, tensors: usize) -> Vec<Option<PackedTensor>> {
    let mut finished = vec![None; tensors];
    let bytes = read_regular(path, MAX_BYTES).unwrap_or_default();
    let mut lines = bytes.split(|&b| b == b'\n');
    let head = lines.next().and_then(entry::<Head>);
    if head.is_none_or(|head| head.fingerprint != fingerprint) {
        return finished;
    }
    for tensor in lines.filter_map(entry::<PackedTensor>) {
        if let Some(slot) = finished.get_mut(tensor.tensor) {
            *slot = Some(tensor);
        }
    }
    finished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_same_inputs_come_back_and_damage_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let entry =
            |tensor| PackedTensor { tensor, sources: vec!["s".into()], parts: vec!["p".into(), "q".into()] };
        let (journal, finished) = Journal::open(&path, "f", 3).unwrap();
        assert_eq!(finished, [None, None, None]);
        journal.append(&entry(2)).unwrap();
        journal.append(&entry(0)).unwrap();
        journal.append(&entry(7)).unwrap();
        let torn = fs::read_to_string(&path).unwrap() + "{\"tensor\":1,\"sou";
        fs::write(&path, torn).unwrap();

        let (journal, finished) = Journal::open(&path, "f", 3).unwrap();
        assert_eq!(finished, [Some(entry(0)), None, Some(entry(2))]);
        journal.append(&entry(1)).unwrap();
        let (_, finished) = Journal::open(&path, "f", 3).unwrap();
        assert_eq!(finished, [Some(entry(0)), Some(entry(1)), Some(entry(2))]);

        let (_, finished) = Journal::open(&path, "g", 3).unwrap();
        assert_eq!(finished, [None, None, None]);
    }
}
