//! Where the library may lie.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The variable that names the library or the folder that holds it, before every other place.
pub(crate) const VARIABLE: &str = "SAMP_NVRTC";
/// The library's name; its major version is part of it.
const LIBRARY: &str = "libnvrtc.so.13";
/// How the builtins' name begins, without the version.
const BUILTINS: &str = "libnvrtc-builtins.so.13";
/// The folder below the build outputs where the set-up puts the library.
const SET_UP: &str = "nvrtc";

/// A library to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub library: PathBuf,
    /// The builtins beside it.
    pub builtins: Option<PathBuf>,
}

impl Candidate {
    /// The library in a folder, or the library itself.
    pub fn at(path: &Path) -> Option<Candidate> {
        let library = if path.is_dir() { path.join(LIBRARY) } else { path.to_owned() };
        let folder = library.parent()?;
        if !library.is_file() {
            return None;
        }
        let names = fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut builtins: Vec<String> = names.filter(|name| name.starts_with(BUILTINS)).collect();
        builtins.sort();
        Some(Candidate { builtins: builtins.pop().map(|name| folder.join(name)), library })
    }
}

/// The folders that are searched, in order: what the set-up fetched, the toolkit's, the loader's.
pub(crate) fn folders() -> Vec<PathBuf> {
    let mut folders = vec![];
    let executable = env::current_exe().unwrap_or_default();
    folders.extend(executable.ancestors().skip(1).map(|folder| folder.join(SET_UP)));
    let here = env::current_dir().unwrap_or_default();
    folders.extend(here.ancestors().map(|folder| folder.join("target").join(SET_UP)));
    for variable in ["CUDA_HOME", "CUDA_PATH"] {
        folders.extend(env::var_os(variable).map(|root| Path::new(&root).join("lib64")));
    }
    folders.push("/usr/local/cuda/lib64".into());
    folders.extend(env::var_os("LD_LIBRARY_PATH").iter().flat_map(env::split_paths));
    folders.push("/usr/lib/x86_64-linux-gnu".into());
    folders
}
