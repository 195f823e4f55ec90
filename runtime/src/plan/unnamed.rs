//! What lies in a plan's folder beside the plan. Version control, hubs, file managers and people leave files there;
//! nothing here reads one.

use std::{
    collections::BTreeSet,
    fs::{self, DirEntry},
    io,
    path::Path,
};

use samp_abi::plan::{MANIFEST_FILE, Plan, SIGNATURE_FILE};

/// The files of a plan, relative to its folder: those that the manifest names, itself, and its signature.
pub fn named_files(manifest: &Plan) -> BTreeSet<String> {
    let own = [MANIFEST_FILE, SIGNATURE_FILE].into_iter();
    let weights = manifest.weights.iter().map(|file| file.path.as_str());
    let files = manifest.files.iter().map(|file| file.path.as_str());
    own.chain(weights).chain(files).map(str::to_owned).collect()
}

/// The entries of `dir` that are not among the files `named`, sorted, each relative to `dir`; what is not UTF-8 in a name
/// is replaced. A folder of which nothing is named stands for all that it holds, and is not looked into.
///
/// # Errors
/// The folder, or one that holds named files, cannot be listed.
pub fn unnamed_entries(dir: &Path, named: &BTreeSet<String>) -> io::Result<Vec<String>> {
    let folders: BTreeSet<&str> =
        named.iter().flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at])).collect();
    let mut unnamed = vec![];
    let mut pending = vec![String::new()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(dir.join(&folder))?.collect::<io::Result<Vec<DirEntry>>>()? {
            let name = entry.file_name();
            let path = if folder.is_empty() {
                name.to_string_lossy().into_owned()
            } else {
                format!("{folder}/{}", name.to_string_lossy())
            };
            let is_named = name.to_str().is_some() && named.contains(&path);
            if name.to_str().is_some() && folders.contains(path.as_str()) {
                // A link in its place is a fault of the files behind it, and is not followed.
                pending.extend(entry.file_type()?.is_dir().then_some(path));
            } else if !is_named {
                unnamed.push(path);
            }
        }
    }
    unnamed.sort();
    Ok(unnamed)
}
