//! The files of a plan: plain names, regular files, exact sizes, hashes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Component, Path},
};

use memmap2::Mmap;
use rayon::prelude::*;
use samp_abi::plan::{MANIFEST_FILE, PlainFile, Plan, WeightsFile, weights_file_name};

use super::fault::{Fault, Findings, Place};
use crate::path_kind::is_lfs_pointer;

/// Files beside the weights are read whole; larger ones than this are refused.
const MAX_PLAIN_BYTES: u64 = 1 << 30;

/// Checks that every path is plain and named once.
pub(super) fn check_paths(plan: &Plan, findings: &mut Findings) {
    let mut paths = BTreeSet::from([MANIFEST_FILE.to_owned()]);
    for (index, file) in plan.weights.iter().enumerate() {
        let expected = weights_file_name(index, plan.weights.len());
        let mut place = findings.at(MANIFEST_FILE, format_args!("weights file {index}"));
        place.check(file.path == expected, Fault::FilePath, &expected, &file.path);
        paths.insert(file.path.clone());
    }
    for file in &plan.files {
        let mut place = findings.at(MANIFEST_FILE, format_args!("file `{}`", file.path.escape_debug()));
        place.check(is_plain(&file.path), Fault::FilePath, "names joined by `/`", &file.path);
        place.check(paths.insert(file.path.clone()), Fault::FilePath, "a path named once", &file.path);
    }
}

/// Whether a path consists of names only, written in the one way that directory listings give.
fn is_plain(path: &str) -> bool {
    let names = || path.split('/');
    names().all(|n| !n.is_empty() && n != "." && n != ".." && !n.contains(['\\', '\0']))
        && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

/// A file that is open, as long as it was then.
struct OpenFile {
    file: File,
    length: u64,
}

/// Opens a regular file that is reached through no link. Reports what stands in the way.
fn open_regular(dir: &Path, path: &str, findings: &mut Findings) -> Option<OpenFile> {
    let mut place = findings.at(path, "file");
    if !is_plain(path) {
        place.wrong(Fault::FilePath, "names joined by `/`", path);
        return None;
    }
    let links = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
    for (part, is_last) in links.map(|part| (part, part.len() == path.len())) {
        match fs::symlink_metadata(dir.join(part)) {
            Ok(meta) if if is_last { meta.is_file() } else { meta.is_dir() } => {}
            Ok(meta) => {
                let found = if meta.is_symlink() { "a symbolic link" } else { "something else" };
                place.wrong(Fault::FileKind, "a regular file", format_args!("{found} at {part}"));
                return None;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                place.wrong(Fault::FileMissing, "a file", "none");
                return None;
            }
            Err(error) => {
                place.refused("a file that can be read", &error);
                return None;
            }
        }
    }
    if is_lfs_pointer(&dir.join(path)) {
        place.wrong(Fault::LfsPointer, "the file itself", "a pointer of Git LFS");
        return None;
    }
    match File::open(dir.join(path))
        .and_then(|file| file.metadata().map(|meta| OpenFile { file, length: meta.len() }))
    {
        Ok(opened) => Some(opened),
        Err(error) => {
            place.refused("a file that can be read", &error);
            None
        }
    }
}

/// Reads a regular file of at most `max` bytes.
pub(super) fn read_regular(dir: &Path, path: &str, max: u64, findings: &mut Findings) -> Option<Vec<u8>> {
    let opened = open_regular(dir, path, findings)?;
    read_at_most(opened, max, &mut findings.at(path, "file"))
}

/// Reads an open file, unless it has more than `max` bytes.
fn read_at_most(opened: OpenFile, max: u64, place: &mut Place<'_>) -> Option<Vec<u8>> {
    let OpenFile { file, length } = opened;
    if !place.check(length <= max, Fault::TooLarge, format_args!("at most {max} bytes"), length) {
        return None;
    }
    let mut bytes = Vec::with_capacity(length as usize);
    match file.take(max).read_to_end(&mut bytes) {
        Ok(_) => Some(bytes),
        Err(error) => {
            place.refused("a file that can be read", &error);
            None
        }
    }
}

/// Reads and checks all files beside the manifest and the weights.
pub(super) fn read_plain(dir: &Path, plan: &Plan, findings: &mut Findings) -> BTreeMap<String, Vec<u8>> {
    let read = |file: &PlainFile| {
        let mut findings = Findings::default();
        let bytes = read_checked(dir, file, &mut findings);
        (bytes, findings)
    };
    let all: Vec<_> = plan.files.par_iter().map(read).collect();
    let mut files = BTreeMap::new();
    for (file, (bytes, faults)) in plan.files.iter().zip(all) {
        findings.0.extend(faults.0);
        files.extend(bytes.map(|bytes| (file.path.clone(), bytes)));
    }
    files
}

fn read_checked(dir: &Path, file: &PlainFile, findings: &mut Findings) -> Option<Vec<u8>> {
    let opened = open_regular(dir, &file.path, findings)?;
    let mut place = findings.at(&file.path, "file");
    // Nothing is read of a file that cannot be the right one.
    if !place.check(opened.length == file.bytes, Fault::FileSize, file.bytes, opened.length) {
        return None;
    }
    let bytes = read_at_most(opened, MAX_PLAIN_BYTES, &mut place)?;
    let hash = blake3::hash(&bytes).to_hex();
    (place.check(*hash == *file.blake3, Fault::FileHash, &file.blake3, hash)).then_some(bytes)
}

/// Maps the weights files whose size on disk is what the manifest says; `None` for the others.
pub(super) fn map_weights(dir: &Path, plan: &Plan, findings: &mut Findings) -> Vec<Option<Mmap>> {
    let map = |file: &WeightsFile| {
        let (path, expected) = (file.path.as_str(), file.bytes);
        let OpenFile { file, length } = open_regular(dir, path, findings)?;
        let mut place = findings.at(path, "file");
        if !place.check(length == expected && length > 0, Fault::FileSize, expected, length) {
            return None;
        }
        // SAFETY: the mapping is read-only and its length was measured on the open file just now, so every
        // access lies inside the file. A plan is never written after it is published; a process that
        // shortens or writes it in place all the same breaks the promise that every mapped file rests on.
        match unsafe { Mmap::map(&file) } {
            Ok(mapped) => Some(mapped),
            Err(error) => {
                place.refused("a file that can be mapped", &error);
                None
            }
        }
    };
    plan.weights.iter().map(map).collect()
}
