//! What `--force` may replace: a folder that samp wrote, and that nobody put anything else into.

use std::{collections::BTreeSet, fs, io, path::Path};

use samp_abi::plan::{GOLDEN_FILE, MANIFEST_FILE, SIGNATURE_FILE};
use samp_runtime::{
    outside_file::read_regular,
    plan::{MAX_MANIFEST_BYTES, code::CODE_FOLDER},
    unnamed_entries,
};
use serde::Deserialize;

use super::file_names::{CERTIFICATE_FILE, GRAPH_FILE};
use crate::import::CARRIED_FILES;

/// Files that file managers leave in every folder and make anew; nobody misses them.
const LITTER: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];

/// What is written, and so what `--force` may replace: a folder that holds `marker`, and beside it nothing that is not
/// among the files that `own` gives for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputKind {
    /// For people, such as `a compiled plan`.
    pub name: &'static str,
    /// A file that every such folder holds and no other does.
    pub marker: &'static str,
    /// The files of such a folder that samp wrote.
    pub own: fn(&Path) -> io::Result<BTreeSet<String>>,
}

/// A compiled plan.
pub(crate) const PLAN: OutputKind =
    OutputKind { name: "a compiled plan", marker: MANIFEST_FILE, own: plan_files };

impl OutputKind {
    /// What lies in a folder of this kind without being its own, sorted.
    pub(crate) fn foreign(&self, folder: &Path) -> io::Result<Vec<String>> {
        let litter = |path: &String| LITTER.iter().any(|name| path.rsplit('/').next() == Some(name));
        let mut found = unnamed_entries(folder, &(self.own)(folder)?)?;
        found.retain(|path| !litter(path));
        Ok(found)
    }
}

/// The files that a manifest names, whatever else it says: plans of older schemas and damaged ones are replaced too.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    weights: Vec<NamedFile>,
    #[serde(default)]
    files: Vec<NamedFile>,
}

#[derive(Deserialize)]
struct NamedFile {
    path: String,
}

/// The files of a plan as its manifest names them; where that cannot be read, those that have the usual names.
fn plan_files(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut own = BTreeSet::from([MANIFEST_FILE, SIGNATURE_FILE].map(str::to_owned));
    let manifest = read_regular(&folder.join(MANIFEST_FILE), MAX_MANIFEST_BYTES)?;
    match serde_json::from_slice(&manifest) {
        Ok(Named { weights, files }) => own.extend(weights.into_iter().chain(files).map(|file| file.path)),
        Err(_) => {
            own.extend([GRAPH_FILE, CERTIFICATE_FILE, GOLDEN_FILE].map(str::to_owned));
            own.extend(CARRIED_FILES.map(str::to_owned));
            own.extend(files_named(folder, "weights-", ".safetensors")?);
            let code = folder.join(CODE_FOLDER);
            if code.is_dir() {
                let files = files_named(&code, "", "")?.into_iter();
                own.extend(files.map(|name| format!("{CODE_FOLDER}/{name}")));
            }
        }
    }
    Ok(own)
}

/// The entries of a folder whose names begin and end so.
pub(crate) fn files_named(folder: &Path, start: &str, end: &str) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<String>>>()?;
    names.retain(|name| name.starts_with(start) && name.ends_with(end));
    Ok(names)
}
