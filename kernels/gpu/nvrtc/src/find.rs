//! Where the library may lie.
//!
//! What is loaded runs with the user's rights, so it is never looked for in the working directory or in folders above it or
//! above the executable, which others may be able to write to: in `/tmp`, say, anyone can make a folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::trust::is_trusted;

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

    /// Whether only the user and the system's owner can have put the files where they are.
    pub fn is_trusted(&self) -> bool {
        let files = [Some(&self.library), self.builtins.as_ref()];
        files.into_iter().flatten().all(|file| is_trusted(file))
    }
}

/// What the process was started with, as far as places depend on it.
pub(crate) struct Surroundings {
    /// A variable of the environment.
    pub variable: fn(&str) -> Option<PathBuf>,
    /// The executable, links resolved.
    pub executable: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Surroundings {
        let executable = env::current_exe().and_then(|path| path.canonicalize()).ok();
        Surroundings { variable: |name| env::var_os(name).map(PathBuf::from), executable }
    }

    /// The folders that are searched, in order: the system's, the executable's own prefix, samp's data folder. All are
    /// absolute.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders = self.system();
        folders.extend(self.executable.as_deref().into_iter().flat_map(prefix));
        folders.extend(self.data());
        folders.retain(|folder| folder.is_absolute());
        folders
    }

    /// The CUDA toolkit's folders and the loader's.
    fn system(&self) -> Vec<PathBuf> {
        let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(self.variable);
        let mut folders: Vec<PathBuf> = toolkits.map(|root| root.join("lib64")).collect();
        folders.push("/usr/local/cuda/lib64".into());
        let loader = (self.variable)("LD_LIBRARY_PATH");
        folders.extend(loader.iter().flat_map(env::split_paths));
        folders.extend(["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"].map(PathBuf::from));
        folders
    }

    /// `samp/nvrtc` in the user's folder of data.
    fn data(&self) -> Option<PathBuf> {
        let home = || Some((self.variable)("HOME")?.join(".local/share"));
        let data = (self.variable)("XDG_DATA_HOME").filter(|folder| folder.is_absolute());
        Some(data.or_else(home)?.join("samp").join(SET_UP))
    }
}

/// Where an executable's own installation keeps the library: `PREFIX/lib/samp` beside `PREFIX/bin`, or the build outputs'
/// `nvrtc` beside the folder of a profile.
fn prefix(executable: &Path) -> Option<PathBuf> {
    let folder = executable.parent()?;
    if folder.ends_with("bin") {
        return Some(folder.parent()?.join("lib/samp"));
    }
    let is_inside_a_profile = folder.ends_with("deps") || folder.ends_with("examples");
    let profile = if is_inside_a_profile { folder.parent()? } else { folder };
    Some(profile.parent()?.join(SET_UP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(executable: &str, variable: fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
        Surroundings { variable, executable: Some(executable.into()) }.folders()
    }

    #[test]
    fn the_system_comes_first_then_the_prefix_then_the_users_data() {
        let found = folders("/opt/samp/bin/samp", |name| match name {
            "CUDA_HOME" => Some("/opt/cuda".into()),
            "HOME" => Some("/home/user".into()),
            _ => None,
        });
        let expected = [
            "/opt/cuda/lib64",
            "/usr/local/cuda/lib64",
            "/usr/local/lib",
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib64",
            "/opt/samp/lib/samp",
            "/home/user/.local/share/samp/nvrtc",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn build_outputs_know_their_own_library() {
        for executable in
            ["/p/target/debug/samp", "/p/target/debug/deps/samp-1", "/p/target/debug/examples/e"]
        {
            assert!(folders(executable, |_| None).contains(&"/p/target/nvrtc".into()), "{executable}");
        }
    }

    #[test]
    fn neither_the_working_directory_nor_folders_above_are_searched() {
        // An empty entry of LD_LIBRARY_PATH is the working directory to the loader, and relative ones lie below it.
        let found = folders("/tmp/a/b/c/samp", |name| match name {
            "LD_LIBRARY_PATH" => Some("lib::/opt/lib:".into()),
            "CUDA_PATH" | "XDG_DATA_HOME" | "HOME" => Some("cuda".into()),
            _ => None,
        });
        assert!(found.iter().all(|folder| folder.is_absolute()), "{found:?}");
        assert!(found.contains(&"/opt/lib".into()));
        let below_tmp: Vec<_> = found.iter().filter(|folder| folder.starts_with("/tmp")).collect();
        assert_eq!(below_tmp, ["/tmp/a/b/nvrtc"]);
        let here = env::current_dir().unwrap();
        assert!(!found.iter().any(|folder| here.starts_with(folder)), "{found:?}");
    }
}
