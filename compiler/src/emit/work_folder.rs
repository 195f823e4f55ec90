//! The folder that holds what survives an interruption of a calibration. One process at a time works in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    error::{During, EmitError},
    lock::{FolderLock, lock, remove_if_empty},
};

/// The folder, locked. It stays when it is dropped, unless nothing lies in it.
#[derive(Debug)]
pub(crate) struct WorkFolder {
    path: PathBuf,
    _lock: FolderLock,
}

impl WorkFolder {
    /// Makes the folder, or takes over what an interrupted run left there; it is work for `output`.
    ///
    /// # Errors
    /// The folder cannot be made, or another process works in it.
    pub(crate) fn open(path: PathBuf, output: &Path) -> Result<WorkFolder, EmitError> {
        let lock = lock(&path, output)?;
        Ok(WorkFolder { path, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with what it holds.
    pub(crate) fn remove(self) -> Result<(), EmitError> {
        fs::remove_dir_all(&self.path).during("removing", &self.path)
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        remove_if_empty(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_works_in_the_folder_and_an_empty_one_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let (work, output) = (folder.path().join("plan.work"), Path::new("plan"));
        let first = WorkFolder::open(work.clone(), output).unwrap();
        let refused = WorkFolder::open(work.clone(), output).unwrap_err();
        assert!(refused.to_string().contains(&format!("process ({})", std::process::id())), "{refused}");
        drop(first);
        assert!(!work.exists(), "nothing was in it");
        let second = WorkFolder::open(work.clone(), output).unwrap();
        fs::write(work.join("measured-0.jsonl"), "something").unwrap();
        drop(second);
        let third = WorkFolder::open(work.clone(), output).unwrap();
        assert!(work.join("measured-0.jsonl").exists(), "what was measured is kept");
        third.remove().unwrap();
        assert!(!work.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_said_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = WorkFolder::open(file.path().join("work"), Path::new("plan")).unwrap_err();
        assert!(refused.to_string().starts_with("making the folder"), "{refused}");
    }
}
