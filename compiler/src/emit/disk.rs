//! Disk space: asked for before work begins, reserved when files are made, and named when it runs out.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::error::{During, EmitError};

/// Room for the manifest, the graph and what the file system itself takes.
const MARGIN: u64 = 4 << 20;

/// The space that one output takes.
#[derive(Clone, Debug)]
pub(crate) struct DiskSpace {
    /// The target, for messages.
    pub target: PathBuf,
    /// Bytes of all its files.
    pub bytes: u64,
}

impl DiskSpace {
    /// Refuses if `folder`'s file system has not enough room; what lies in `folder` already counts as done. `begun`
    /// says whether some of that is finished work.
    pub(crate) fn check(&self, folder: &Path, begun: bool) -> Result<(), EmitError> {
        let needed = (self.bytes + MARGIN).saturating_sub(allocated(folder).during("reading", folder)?);
        let free = free(folder).during("asking for free space of", folder)?;
        if free >= needed {
            return Ok(());
        }
        Err(EmitError::NoSpace { path: self.target.clone(), needed, free, begun })
    }

    /// Turns the error of a full disk into one that says what is missing; others pass unchanged. `begun` says whether a later
    /// run goes on from what lies in `folder`.
    pub(crate) fn explain(&self, error: EmitError, folder: &Path, begun: bool) -> EmitError {
        match error {
            EmitError::Io { ref source, .. } if is_full(source) => EmitError::NoSpace {
                path: self.target.clone(),
                needed: (self.bytes + MARGIN).saturating_sub(allocated(folder).unwrap_or(0)),
                free: free(folder).unwrap_or(0),
                begun,
            },
            other => other,
        }
    }
}

/// Opens or makes a file of exactly `bytes`, with its blocks reserved where the file system can.
pub(crate) fn reserve(path: &Path, bytes: u64) -> Result<File, EmitError> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.during("creating", path)?;
    file.set_len(bytes).during("resizing", path)?;
    if bytes > 0 {
        match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            done => done.during("reserving space for", path)?,
        }
    }
    Ok(file)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn free(folder: &Path) -> io::Result<u64> {
    let stat = statvfs(folder)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Bytes on disk of the files in `folder`.
fn allocated(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}
