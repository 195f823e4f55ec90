//! What a checkpoint is called: its folder's name, or the repository's where the folder is a hub's cache.

use std::path::{Component, Path};

use samp_abi::plan::{MAX_NAME_CHARS, is_plain_name};
use samp_ir::Diagnostic;

use crate::error_code;

/// What stands for a character that cannot be shown.
const REPLACEMENT: char = '\u{fffd}';

/// The name of the checkpoint in `dir`: the last name of its path without links, or `org/name` in a hub's cache
/// (`models--org--name/snapshots/REVISION`). `None` where the path has no name, such as `/`.
pub(super) fn name_of(dir: &Path) -> Option<String> {
    let path = dir.canonicalize().unwrap_or_else(|_| dir.into());
    let name = cached_repository(&path).or_else(|| Some(path.file_name()?.to_string_lossy().into_owned()))?;
    shown(&name)
}

/// The name of a checkpoint that is one file: the file's without its ending.
pub(super) fn name_of_file(file: &Path) -> Option<String> {
    shown(&file.file_stem()?.to_string_lossy())
}

/// The repository of a snapshot in a hub's cache.
fn cached_repository(path: &Path) -> Option<String> {
    let names: Vec<&str> = path.components().filter_map(normal).collect();
    let [.., repository, "snapshots", _] = names[..] else { return None };
    let repository = repository.strip_prefix("models--").filter(|name| !name.is_empty())?;
    Some(repository.replacen("--", "/", 1))
}

fn normal(component: Component<'_>) -> Option<&str> {
    match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    }
}

/// The name with whatever cannot be shown replaced, cut to what is allowed.
fn shown(name: &str) -> Option<String> {
    let plain = |c: char| if is_plain_name(c.encode_utf8(&mut [0; 4])) || c == ' ' { c } else { REPLACEMENT };
    let name: String = name.trim().chars().take(MAX_NAME_CHARS).map(plain).collect();
    let name = name.trim_end();
    is_plain_name(name).then(|| name.to_owned())
}

/// Refuses a name that was given for a checkpoint and cannot be shown.
pub(crate) fn check_name(name: &str) -> Result<(), Diagnostic> {
    if is_plain_name(name) {
        return Ok(());
    }
    let found = match name.chars().count() {
        length if length > MAX_NAME_CHARS => format!("{length}"),
        _ => format!("{name:?}"),
    };
    let message = format!(
        "--name: expected 1 to {MAX_NAME_CHARS} characters that can be shown, without spaces around them, found {found}"
    );
    Err(Diagnostic::bad_input(error_code::NAME, message).hint("leave it out to have the folder's name"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    use super::*;

    /// A folder with a path of its own, made.
    fn made(root: &Path, path: &str) -> PathBuf {
        let folder = root.join(path);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_checkpoint_has_its_folders_name_however_the_folder_is_reached() {
        let root = tempfile::tempdir().unwrap();
        let model = made(root.path(), "tiny llama-7");
        let named = |path: PathBuf| name_of(&path);
        symlink(&model, root.path().join("latest")).unwrap();
        made(&model, "inner");
        for path in
            ["tiny llama-7", "tiny llama-7/", "tiny llama-7/.", "tiny llama-7/inner/..", "latest", "latest/"]
        {
            assert_eq!(named(root.path().join(path)).as_deref(), Some("tiny llama-7"), "{path}");
        }
        assert_eq!(named("/".into()), None);
        let here = std::env::current_dir().unwrap();
        assert_eq!(named(".".into()).as_deref(), here.file_name().unwrap().to_str());
    }

    #[test]
    fn a_snapshot_in_a_hubs_cache_has_the_repositorys_name() {
        let root = tempfile::tempdir().unwrap();
        for (path, name) in [
            ("hub/models--meta-llama--Llama-3.1-8B/snapshots/0e9e39f2", "meta-llama/Llama-3.1-8B"),
            ("hub/models--gpt2/snapshots/607a30d7", "gpt2"),
            ("hub/models--a--b--c/snapshots/1", "a/b--c"),
            ("hub/models--/snapshots/1", "1"),
            ("hub/datasets--a--b/snapshots/1", "1"),
            ("hub/models--a--b/refs/1", "1"),
        ] {
            let folder = made(root.path(), path);
            assert_eq!(name_of(&folder).as_deref(), Some(name), "{path}");
        }
        let link = root.path().join("llama");
        symlink(root.path().join("hub/models--meta-llama--Llama-3.1-8B/snapshots/0e9e39f2"), &link).unwrap();
        assert_eq!(name_of(&link).as_deref(), Some("meta-llama/Llama-3.1-8B"));
    }

    #[test]
    fn a_folders_name_is_made_fit_to_be_shown() {
        assert_eq!(shown("a\u{1b}[31mb").as_deref(), Some("a\u{fffd}[31mb"));
        assert_eq!(shown(" a ").as_deref(), Some("a"));
        assert_eq!(shown("  "), None);
        assert_eq!(shown(&"x".repeat(255)).unwrap().len(), MAX_NAME_CHARS);
    }

    #[test]
    fn a_name_that_cannot_be_shown_is_refused() {
        check_name("meta-llama/Llama-3.1-8B").unwrap();
        for (name, found) in [("", "\"\""), ("a\nb", "\"a\\nb\""), (&*"x".repeat(201), "found 201")] {
            let refused = check_name(name).unwrap_err();
            assert_eq!(refused.code, error_code::NAME);
            assert!(refused.message.contains(found), "{refused}");
        }
    }
}
