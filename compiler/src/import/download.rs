//! Files of a checkpoint that were not fetched, or not wholly.

use std::{collections::BTreeSet, fs, path::Path};

use samp_ir::Diagnostic;
use samp_runtime::path_kind::{fetch_rest, is_lfs_pointer, quoted, unfinished_download};

use super::{carried::CARRIED_FILES, file_names::INDEX_FILE};
use crate::error_code;

/// Files that are named; more are counted.
const NAMED: usize = 5;

/// Refuses a checkpoint with pointers of Git LFS in place of files that are read.
pub(super) fn refuse_pointers(dir: &Path) -> Result<(), Diagnostic> {
    let is_read = |name: &String| {
        name.ends_with(".safetensors") || name == INDEX_FILE || CARRIED_FILES.contains(&name.as_str())
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut pointers: Vec<String> =
        names.filter(|name| is_read(name) && is_lfs_pointer(&dir.join(name))).collect();
    if pointers.is_empty() {
        return Ok(());
    }
    pointers.sort();
    let message = format!("expected files, found pointers of Git LFS in place of {}", listed(&pointers));
    let hint = format!("run git lfs pull in {}", quoted(dir));
    Err(Diagnostic::bad_input(error_code::LFS_POINTER, message).in_file(dir.display().to_string()).hint(hint))
}

/// Refuses a checkpoint that lacks files of weights which its index names: all of them together.
pub(super) fn refuse_missing_shards(dir: &Path, names: &BTreeSet<&String>) -> Result<(), Diagnostic> {
    let missing: Vec<String> =
        names.iter().filter(|name| !dir.join(name).exists()).map(|name| (**name).clone()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "expected the {} files of weights that {INDEX_FILE} names, found {}; not there: {}",
        names.len(),
        names.len() - missing.len(),
        listed(&missing)
    );
    let mut finding = Diagnostic::bad_input(error_code::MISSING_SHARDS, message)
        .in_file(dir.display().to_string())
        .hint(fetch_rest(dir));
    for name in missing.iter().take(NAMED) {
        if let Ok(target) = fs::read_link(dir.join(name)) {
            finding = finding.note(format!("{name} is a link to {}, which is not there", target.display()));
        }
    }
    let parts = unfinished_download(dir)
        .then_some("a download left part of a file behind: it was interrupted, or still goes on");
    Err(parts.into_iter().fold(finding, Diagnostic::note))
}

fn listed(names: &[String]) -> String {
    let named = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
