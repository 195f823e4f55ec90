//! What a path leads to, recognised by names and first bytes alone, so that whoever wanted something else there can be
//! told what is there and what to do about it.
//!
//! [`what_is_there`] looks; [`expect`] compares with what was [`Wanted`] and gives a [`WrongPath`] with the remedy. The
//! runtime asks before it opens a plan, the compiler before it imports a checkpoint or reads a file of data.
//!
//! Never: a file's contents beyond its first bytes, or a judgement on whether a plan or a checkpoint is sound.

mod absent;
mod expect;
mod file;
mod folder;
mod shell;
mod weight_format;

use std::{
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use crate::outside_file::{dangling, is_link_loop, noun};

pub use absent::nearest;
pub use expect::{Wanted, WrongPath, expect, fetch_rest};
pub use file::{FileKind, is_lfs_pointer};
pub use folder::{FolderKind, unfinished_download};
pub use shell::quoted;
pub use weight_format::WeightFormat;

/// What a path leads to.
#[derive(Debug)]
pub enum PathKind {
    /// Nothing.
    Nothing,
    /// A link to something that is not there.
    DanglingLink(PathBuf),
    /// Links that lead in a circle.
    LinkLoop,
    /// The path goes on below this file, as if it were a folder.
    BelowFile(PathBuf),
    /// A name, or the path as a whole, is longer than any that can be there.
    TooLong,
    /// The system does not let it be looked at.
    Unreadable(io::Error),
    /// A regular file.
    File(FileKind),
    /// A pipe, which may hold anything.
    Pipe,
    /// A socket or a device, as people call it.
    Special(&'static str),
    /// A folder.
    Folder(FolderKind),
}

/// Looks at a path, through links. Reads at most the names in the folder and in those right below it, or the first bytes
/// of the file; of pipes and devices, nothing.
pub fn what_is_there(path: &Path) -> PathKind {
    let looked = match fs::metadata(path) {
        Ok(found) if found.is_dir() => FolderKind::of(path).map(PathKind::Folder),
        Ok(found) if found.is_file() => FileKind::of(path).map(PathKind::File),
        Ok(found) if found.file_type().is_fifo() => Ok(PathKind::Pipe),
        Ok(found) => Ok(PathKind::Special(noun(found.file_type()))),
        Err(error) => Ok(unreached(path, error)),
    };
    looked.unwrap_or_else(PathKind::Unreadable)
}

/// Whether nothing can ever be at a path, for the length of a name in it or of the path itself.
pub fn is_too_long(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::InvalidFilename)
}

/// Why a path does not lead to anything.
fn unreached(path: &Path, error: io::Error) -> PathKind {
    match error.kind() {
        _ if is_link_loop(&error) => PathKind::LinkLoop,
        io::ErrorKind::NotADirectory => {
            let file = path.ancestors().find(|above| above.is_file()).unwrap_or(path);
            PathKind::BelowFile(file.into())
        }
        io::ErrorKind::InvalidFilename => PathKind::TooLong,
        io::ErrorKind::NotFound => dangling(path).map_or(PathKind::Nothing, PathKind::DanglingLink),
        _ => PathKind::Unreadable(error),
    }
}

#[cfg(test)]
mod tests;
