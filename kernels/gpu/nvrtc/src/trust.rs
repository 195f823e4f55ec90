//! Whose files samp believes without being told to.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Write permission of those who are neither the owner nor in the group.
const OTHERS_WRITE: u32 = 0o002;
/// Entries of a folder can be replaced only by their owners.
const STICKY: u32 = 0o1000;

/// Whether only this user and root can have put `file` there: both own it and every folder above it, and nobody else may
/// write to any of them, since who may rename a folder on the way puts another in its place. Links are followed.
pub(crate) fn is_trusted(file: &Path) -> bool {
    let Ok(file) = file.canonicalize() else { return false };
    is_ours(&file, 0) && file.ancestors().skip(1).all(|folder| is_ours(folder, STICKY))
}

/// Whether this user or root owns something that others may not write to; `excuse` is a bit of the mode that makes up for
/// their right to.
fn is_ours(path: &Path, excuse: u32) -> bool {
    let user = rustix::process::geteuid().as_raw();
    fs::metadata(path).is_ok_and(|meta| {
        let others_write = meta.mode() & OTHERS_WRITE != 0 && meta.mode() & excuse == 0;
        [0, user].contains(&meta.uid()) && !others_write
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_may_write_to_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("library");
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(!is_trusted(&file), "it is not there");
        fs::write(&file, "").unwrap();
        mode(&file, 0o644);
        assert!(is_trusted(&file));
        mode(&file, 0o666);
        assert!(!is_trusted(&file));
        mode(&file, 0o644);
        mode(folder.path(), 0o777);
        assert!(!is_trusted(&file));
        mode(folder.path(), 0o1777);
        assert!(is_trusted(&file), "as in /tmp, only owners replace what is theirs");
    }

    #[test]
    fn every_folder_above_counts() {
        let top = tempfile::tempdir().unwrap();
        let (open, folder) = (top.path().join("open"), top.path().join("open/a/b"));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("library");
        fs::write(&file, "").unwrap();
        assert!(is_trusted(&file));
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!is_trusted(&file), "others can put another folder in place of `a`");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(is_trusted(&file));
    }

    #[test]
    fn a_link_is_judged_by_what_it_leads_to() {
        let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (file, link) = (other.path().join("library"), folder.path().join("link"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(is_trusted(&link));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!is_trusted(&link));
    }
}
