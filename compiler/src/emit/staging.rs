//! The atomic way onto disk: everything is written into a sibling folder, `.NAME.partial/`, and one rename
//! publishes it. Whatever happens before that rename, the target is what it was.
//!
//! ```text
//! .NAME.partial/lock      held while a process writes
//! .NAME.partial/journal   finished tensors, see `journal`
//! .NAME.partial/out/      becomes NAME
//! .NAME.partial/old/      what NAME was, for a moment, where the file system cannot swap two folders
//! ```
//!
//! What lies there without a journal is nobody's unfinished work; the next run discards it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use samp_runtime::path_kind::{is_too_long, quoted};

use super::{
    error::{During, EmitError},
    lock::{FolderLock, lock},
    output_kind::OutputKind,
    publication::Publication,
};

/// The folder that is being written, locked against other processes.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    partial: PathBuf,
    kind: OutputKind,
    force: bool,
    _lock: FolderLock,
}

impl Staging {
    /// Checks that the target may be written, takes the lock and makes the folders. What an interrupted run left
    /// there stays.
    pub(crate) fn open(target: &Path, kind: OutputKind, force: bool) -> Result<Staging, EmitError> {
        let (target, partial) = names(target)?;
        refuse_existing(&target, kind, force)?;
        Staging::enter(target, partial, kind, force)
    }

    /// Takes the lock, then checks the target again: another process may have published it in the meantime, and
    /// what it left in the partial folder is then of no use.
    fn enter(target: PathBuf, partial: PathBuf, kind: OutputKind, force: bool) -> Result<Staging, EmitError> {
        let lock = lock(&partial, &target)?;
        let staging = Staging { target, partial, kind, force, _lock: lock };
        staging.recover_old()?;
        if let Err(refusal) = refuse_existing(&staging.target, kind, force) {
            let _ = staging.discard();
            return Err(refusal);
        }
        let out = staging.out();
        if !staging.journal().exists() && out.exists() {
            fs::remove_dir_all(&out).during("removing", &out)?;
        }
        fs::create_dir_all(&out).during("making the folder", &out)?;
        Ok(staging)
    }

    /// Ends a replacement that was interrupted between its two renames: the old folder goes back if nothing took
    /// its place, and goes away otherwise.
    fn recover_old(&self) -> Result<(), EmitError> {
        let old = self.old();
        match (old.exists(), self.target.symlink_metadata().is_ok()) {
            (false, _) => Ok(()),
            (true, true) => fs::remove_dir_all(&old).during("removing", &old),
            (true, false) => rename_new(&old, &self.target).during("restoring", &self.target),
        }
    }

    fn old(&self) -> PathBuf {
        self.partial.join("old")
    }

    /// The folder that becomes the target.
    pub(crate) fn out(&self) -> PathBuf {
        self.partial.join("out")
    }

    /// The journal of an interrupted run.
    pub(crate) fn journal(&self) -> PathBuf {
        self.partial.join("journal")
    }

    /// Removes everything in the folder but the named files.
    pub(crate) fn keep_only(&self, names: &[&str]) -> Result<(), EmitError> {
        let out = self.out();
        for entry in fs::read_dir(&out).during("reading", &out)? {
            let entry = entry.during("reading", &out)?;
            let path = entry.path();
            let kind = entry.file_type().during("reading", &path)?;
            if kind.is_dir() {
                fs::remove_dir_all(&path).during("removing", &path)?;
            } else if !kind.is_file() || !names.iter().any(|name| entry.file_name() == *name) {
                fs::remove_file(&path).during("removing", &path)?;
            }
        }
        Ok(())
    }

    /// Makes the folder the target and removes the rest. All files in it must have been synced. Once it is renamed
    /// it stands, so nothing after that is an error: what cannot be removed is discarded by the next run. The publication
    /// ends when it is dropped.
    pub(crate) fn publish(self) -> Result<Publication, EmitError> {
        let out = self.out();
        sync_folder(&out)?;
        let publication = Publication::begin();
        refuse_existing(&self.target, self.kind, self.force)?;
        if self.target.symlink_metadata().is_ok() {
            exchange(&out, &self.target, &self.old()).during("replacing", &self.target)?;
        } else {
            rename_new(&out, &self.target).during("publishing", &self.target)?;
        }
        // The journal goes first: without it the rest is known to be nobody's work.
        let _ = fs::remove_file(self.journal());
        let _ = sync_folder(parent(&self.target));
        let _ = fs::remove_dir_all(&self.partial);
        Ok(publication)
    }

    /// Removes what was written; for work that cannot be continued.
    pub(crate) fn discard(self) -> Result<(), EmitError> {
        fs::remove_dir_all(&self.partial).during("removing", &self.partial)
    }
}

/// Writes a whole file and syncs it.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), EmitError> {
    let mut file = File::create(path).during("creating", path)?;
    io::Write::write_all(&mut file, bytes).during("writing", path)?;
    file.sync_all().during("syncing", path)
}

/// The target with an absolute parent, and its partial folder.
fn names(target: &Path) -> Result<(PathBuf, PathBuf), EmitError> {
    let bad = |why: &str| EmitError::BadTarget(target.into(), why.into());
    let name = target.file_name().ok_or(bad("it does not end in a name"))?;
    let absolute = std::path::absolute(target).during("resolving", target)?;
    let folder = parent(&absolute);
    if !folder.is_dir() {
        let (there, make) = (folder.display(), quoted(folder));
        return Err(bad(&format!(
            "the folder that is to hold it, {there}, does not exist; make it first: mkdir -p {make}"
        )));
    }
    let partial = folder.join(format!(".{}.partial", name.to_str().ok_or(bad("its name is not UTF-8"))?));
    let target_in_folder = folder.join(name);
    check_beside(target, &partial)?;
    Ok((target_in_folder, partial))
}

/// Refuses a target whose name leaves no room for that of what lies beside it while it is made.
pub(crate) fn check_beside(target: &Path, beside: &Path) -> Result<(), EmitError> {
    if !is_too_long(beside) {
        return Ok(());
    }
    let name = beside.file_name().unwrap_or_default().display();
    let why = format!(
        "its name or path is too long for the file system, with {name} beside it; give a shorter one"
    );
    Err(EmitError::BadTarget(target.into(), why))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Refuses an output without a name, or whose folder is not there.
pub fn check_place(output: &Path) -> Result<(), EmitError> {
    names(output).map(drop)
}

/// Refuses a target that could not be written, as far as that is known before any work.
pub(crate) fn check_target(target: &Path, kind: OutputKind, force: bool) -> Result<(), EmitError> {
    let (target, _) = names(target)?;
    refuse_existing(&target, kind, force)
}

/// Where what is unfinished of a target lies, if it does.
pub(crate) fn unfinished(target: &Path) -> Option<PathBuf> {
    names(target).ok().map(|(_, partial)| partial).filter(|partial| partial.exists())
}

fn refuse_existing(target: &Path, kind: OutputKind, force: bool) -> Result<(), EmitError> {
    let Ok(found) = target.symlink_metadata() else { return Ok(()) };
    if !force {
        return Err(EmitError::Exists(target.into()));
    }
    let empty = || fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
    if found.is_dir() && empty() {
        return Ok(());
    }
    let path = || target.to_path_buf();
    if !found.is_dir() || !target.join(kind.marker).is_file() {
        return Err(EmitError::NotReplaceable { path: path(), expected: kind.name });
    }
    let foreign = kind.foreign(target).during("listing", target)?;
    if foreign.is_empty() {
        return Ok(());
    }
    Err(EmitError::ForeignFiles { path: path(), expected: kind.name, foreign })
}

/// Renames to a name that must not exist, also where the file system cannot promise that itself.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(e) if unsupported(e) => fs::rename(from, to),
        done => Ok(done?),
    }
}

/// Swaps two folders. Where the file system cannot, the old one steps aside first: for that moment there is none,
/// but never half of one.
fn exchange(new: &Path, target: &Path, old: &Path) -> io::Result<()> {
    match renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
        Err(e) if unsupported(e) => {
            if old.exists() {
                fs::remove_dir_all(old)?;
            }
            fs::rename(target, old)?;
            fs::rename(new, target)
        }
        done => Ok(done?),
    }
}

fn unsupported(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP].contains(&error)
}

fn sync_folder(path: &Path) -> Result<(), EmitError> {
    File::open(path).and_then(|folder| folder.sync_all()).during("syncing", path)
}

#[cfg(test)]
mod tests;
