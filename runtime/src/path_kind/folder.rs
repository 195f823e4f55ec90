//! What a folder is, by the names in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use samp_abi::plan::{GOLDEN_FILE, MANIFEST_FILE};

use super::weight_format::WeightFormat;
use crate::outside_file::read_regular_text;

/// Names that are looked at in a folder, and folders in it that are looked into.
const MOST: usize = 10_000;
const MOST_FOLDERS: usize = 200;
/// Bytes of the file that names a snapshot's commit.
pub(super) const COMMIT_BYTES: u64 = 1024;

/// What a folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderKind {
    /// A plan: it has a manifest.
    Plan,
    /// The files of a plan without its manifest.
    PlanWithoutManifest,
    /// A checkpoint: it has a configuration, and weights in safetensors or an index of them.
    Checkpoint,
    /// A configuration and no weights.
    ConfigAlone,
    /// Weights in safetensors without a configuration.
    WeightsAlone,
    /// A PEFT adapter, which is a change of another model's weights.
    Adapter,
    /// Weights in another form, and the first of their files.
    Foreign(&'static WeightFormat, String),
    /// A repository in the cache of the hub, and the snapshot in it that is meant, if there is one.
    HubCache(Option<PathBuf>),
    /// None of these itself, but there are plans or checkpoints right in it: their names.
    Parent {
        /// Names of plans.
        plans: Vec<String>,
        /// Names of checkpoints.
        checkpoints: Vec<String>,
    },
    /// Nothing in it.
    Empty,
    /// Anything else: some names in it.
    Other(Vec<String>),
}

impl FolderKind {
    /// Looks at the names in a folder, and at those in its folders if these names say nothing.
    pub(super) fn of(folder: &Path) -> io::Result<FolderKind> {
        let names = names(folder)?;
        if names.is_empty() {
            return Ok(FolderKind::Empty);
        }
        Ok(FolderKind::by_names(&names)
            .or_else(|| hub_cache(folder))
            .or_else(|| parent(folder, &names))
            .unwrap_or_else(|| FolderKind::Other(names.into_iter().take(5).collect())))
    }

    fn by_names(names: &[String]) -> Option<FolderKind> {
        let has = |name: &str| names.iter().any(|found| found == name);
        let has_weights = names.iter().any(|name| is_weights(name));
        let foreign = || names.iter().find_map(|name| Some((WeightFormat::by_name(name)?, name)));
        Some(match (has("config.json"), has_weights) {
            _ if has(MANIFEST_FILE) => FolderKind::Plan,
            _ if has(GOLDEN_FILE) || has("plan.mlir") => FolderKind::PlanWithoutManifest,
            (true, true) => FolderKind::Checkpoint,
            _ if has("adapter_config.json") => FolderKind::Adapter,
            (false, true) => FolderKind::WeightsAlone,
            (config, false) => match foreign() {
                Some((format, name)) => FolderKind::Foreign(format, name.clone()),
                None if config => FolderKind::ConfigAlone,
                None => return None,
            },
        })
    }
}

/// Whether a file holds weights of a checkpoint, or names those that do.
fn is_weights(name: &str) -> bool {
    let safetensors = name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
    safetensors && !name.starts_with("adapter_") && WeightFormat::by_name(name).is_none()
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.take(MOST);
    let mut names: Vec<String> = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    names.sort();
    Ok(names)
}

/// `models--ORG--NAME` in the hub's cache: the model's files are in `snapshots/COMMIT`.
fn hub_cache(folder: &Path) -> Option<FolderKind> {
    let snapshots = folder.join("snapshots");
    if !folder.join("refs").is_dir() && !snapshots.is_dir() {
        return None;
    }
    let main = read_regular_text(&folder.join("refs/main"), COMMIT_BYTES)
        .ok()
        .map(|commit| snapshots.join(commit.trim()));
    let newest = || {
        let commits = names(&snapshots).ok()?.into_iter().map(|commit| snapshots.join(commit));
        commits.max_by_key(|snapshot| snapshot.metadata().and_then(|found| found.modified()).ok())
    };
    Some(FolderKind::HubCache(main.filter(|snapshot| snapshot.is_dir()).or_else(newest)))
}

/// A folder with plans or checkpoints right in it.
fn parent(folder: &Path, names: &[String]) -> Option<FolderKind> {
    let is = |kinds: &[FolderKind], name: &str| {
        let found = self::names(&folder.join(name)).ok().and_then(|names| FolderKind::by_names(&names));
        found.is_some_and(|found| kinds.contains(&found))
    };
    let folders: Vec<&String> = names
        .iter()
        .filter(|name| folder.join(name).is_dir() && !name.starts_with('.'))
        .take(MOST_FOLDERS)
        .collect();
    let which = |kinds: &[FolderKind]| -> Vec<String> {
        folders.iter().filter(|name| is(kinds, name)).map(|name| name.to_string()).collect()
    };
    let (plans, checkpoints) = (which(&[FolderKind::Plan]), which(&[FolderKind::Checkpoint]));
    (!plans.is_empty() || !checkpoints.is_empty()).then_some(FolderKind::Parent { plans, checkpoints })
}

/// Whether something that fetches files has left part of one in the folder.
pub fn unfinished_download(folder: &Path) -> bool {
    const PARTS: [&str; 4] = [".incomplete", ".part", ".crdownload", ".aria2"];
    let has_part = |folder: &Path| {
        let names = names(folder).unwrap_or_default();
        names.iter().any(|name| PARTS.iter().any(|end| name.ends_with(end)))
    };
    // In a snapshot of the hub's cache files are links to `../../blobs`, where the parts lie.
    let beside = [".cache/huggingface/download", "../../blobs"];
    has_part(folder) || beside.iter().any(|place| has_part(&folder.join(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(names: &[&str]) -> Option<FolderKind> {
        FolderKind::by_names(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn folders_are_known_by_their_names() {
        for (names, expected) in [
            (&["plan.json", "config.json", "weights-00001-of-00001.safetensors"][..], FolderKind::Plan),
            (&["golden.json", "weights-00001-of-00001.safetensors"], FolderKind::PlanWithoutManifest),
            (&["config.json", "model.safetensors"], FolderKind::Checkpoint),
            (&["config.json", "model.safetensors.index.json"], FolderKind::Checkpoint),
            (&["config.json", "tokenizer.json"], FolderKind::ConfigAlone),
            (&["model.safetensors"], FolderKind::WeightsAlone),
            (&["adapter_config.json", "adapter_model.safetensors", "config.json"], FolderKind::Adapter),
        ] {
            assert_eq!(kind(names), Some(expected), "{names:?}");
        }
        assert_eq!(kind(&["README.md"]), None);
    }

    /// Whatever else lies beside safetensors, these are the weights.
    #[test]
    fn other_forms_count_only_where_there_are_no_safetensors() {
        for name in
            ["q4.gguf", "consolidated.00.pth", "pytorch_model.bin", "tf_model.h5", "consolidated.safetensors"]
        {
            let found = kind(&["config.json", name]);
            assert!(matches!(&found, Some(FolderKind::Foreign(_, first)) if first == name), "{found:?}");
            assert_eq!(kind(&["config.json", name, "model.safetensors"]), Some(FolderKind::Checkpoint));
            assert_eq!(
                kind(&["adapter_config.json", "config.json", name, "model.safetensors"]),
                Some(FolderKind::Checkpoint)
            );
        }
    }
}
