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
    let user = || named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let below_user = || user().map(|caches| caches.join("samp"));
    let root = named("SAMP_CACHE").or_else(below_user).unwrap_or_else(|| own_folder(&env::temp_dir()));
    root.join(kind)
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
    fn a_link_is_not_followed() {
        let [shared, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let user = rustix::process::geteuid().as_raw();
        let link = shared.path().join(format!("samp-{user}"));
        std::os::unix::fs::symlink(elsewhere.path(), &link).unwrap();
        assert_ne!(own_folder(shared.path()), link);
    }
}
