//! Where things are kept that can be made again.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process,
};

/// A folder for things of one kind: below `SAMP_CACHE`, or `samp` in the user's folder of caches; without either, below a
/// folder of this user's own among the temporary files. It need not exist.
///
/// Compiled code is loaded from it, so that no other user may have made it.
pub fn cache_dir(kind: &str) -> PathBuf {
    let named = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    root(named).unwrap_or_else(|| own_folder(&env::temp_dir())).join(kind)
}

/// The folder that the environment names. What it says of the user is relative by mistake alone, and is passed over as the
/// XDG base directory specification has it: a working directory is no place for caches. `SAMP_CACHE` is a choice.
fn root(named: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |variable: &str| named(variable).filter(|folder| folder.is_absolute());
    let user = || absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    named("SAMP_CACHE").or_else(|| Some(user()?.join("samp")))
}

/// A folder below `shared` that only this user can write to: one for all processes, or, where another user has taken its
/// name, one of this process alone.
fn own_folder(shared: &Path) -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    let usual = shared.join(format!("samp-{user}"));
    let made = make_private(&usual);
    let is_own = made.is_ok() && fs::symlink_metadata(&usual).is_ok_and(|meta| is_private(&meta, user));
    if is_own { usual } else { shared.join(format!("samp-{user}-{}", process::id())) }
}

fn make_private(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn is_private(meta: &fs::Metadata, user: u32) -> bool {
    meta.is_dir() && meta.uid() == user && meta.mode() & 0o077 == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_among_temporary_files_is_this_users_alone() {
        let shared = tempfile::tempdir().unwrap();
        let folder = own_folder(shared.path());
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(own_folder(shared.path()), folder);
        // As if another had made it beforehand.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert_ne!(own_folder(shared.path()), folder);
    }

    #[test]
    fn relative_folders_of_the_user_are_passed_over() {
        for (set, expected) in [
            (&[("HOME", "/home/u")][..], Some("/home/u/.cache/samp")),
            (&[("HOME", "/home/u"), ("XDG_CACHE_HOME", "/c")], Some("/c/samp")),
            (&[("HOME", "/home/u"), ("XDG_CACHE_HOME", "c")], Some("/home/u/.cache/samp")),
            (&[("HOME", ".")], None),
            (&[("HOME", "u"), ("XDG_CACHE_HOME", "c")], None),
            (&[("HOME", "u"), ("SAMP_CACHE", "mine")], Some("mine")),
        ] {
            let named = |variable: &str| {
                set.iter().find(|(name, _)| *name == variable).map(|(_, value)| PathBuf::from(value))
            };
            assert_eq!(root(named), expected.map(PathBuf::from), "{set:?}");
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let [shared, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let user = rustix::process::geteuid().as_raw();
        let link = shared.path().join(format!("samp-{user}"));
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
        assert_ne!(own_folder(shared.path()), link);
    }
}
