//! A folder that one process at a time works in. The lock is the system's: it ends with the process, however that ends.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use samp_runtime::outside_file::read_regular_text;

use super::error::{During, EmitError};

/// The lock's file, which holds the number of the process that took it last.
const FILE: &str = "lock";

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

/// Makes `folder` and takes its lock; what is refused is said of `output`, which the folder belongs to. The folder may be
/// removed by the process that held the lock while this one waits at the door, so the lock counts only if it still lies
/// where it was opened.
pub(super) fn lock(folder: &Path, output: &Path) -> Result<FolderLock, EmitError> {
    let path = folder.join(FILE);
    loop {
        fs::create_dir_all(folder).during("making the folder", folder)?;
        let mut file = match File::options().create(true).truncate(false).write(true).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.during("creating", &path)?,
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(EmitError::Locked { output: output.into(), process: holder(&path) });
            }
            Err(TryLockError::Error(e)) => return Err(e).during("locking", &path),
            Ok(()) => {}
        }
        let held = file.metadata().during("reading", &path)?;
        if fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
            // Only for the message of whoever is refused: a disk that is full is found soon enough.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            return Ok(FolderLock { _file: file });
        }
    }
}

/// The process that the lock's file names.
fn holder(path: &Path) -> Option<u32> {
    read_regular_text(path, 64).ok()?.trim().parse().ok()
}

/// Removes a folder that holds nothing but the lock's file. The lock must be held.
pub(super) fn remove_if_empty(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    if entries.flatten().all(|entry| entry.file_name() == FILE) {
        let _ = fs::remove_file(folder.join(FILE));
        let _ = fs::remove_dir(folder);
    }
}
