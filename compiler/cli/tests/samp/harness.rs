//! Running the built command on the shipped checkpoint, in a folder of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use samp_kernels::random::SplitMix64;
use tempfile::TempDir;

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// The shipped checkpoint.
pub fn tiny_llama() -> PathBuf {
    root().join("testdata/models/tiny-llama")
}

/// Where compiled kernels are kept from one run of the tests to the next.
pub const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/cache");

/// The command, not yet started.
pub fn samp<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samp"));
    command.env("SAMP_CACHE", CACHE);
    command.args(args);
    command
}

/// Runs the command to its end.
pub fn output(mut command: Command) -> Output {
    command.output().expect("samp starts")
}

/// Runs the command and expects success; gives stdout.
pub fn ok(command: Command) -> String {
    let shown = format!("{command:?}");
    let out = output(command);
    assert!(out.status.success(), "{shown}\n{}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

/// Runs the command and expects the exit code; gives stdout and stderr.
pub fn fails(code: i32, command: Command) -> (String, String) {
    let shown = format!("{command:?}");
    let out = output(command);
    assert_eq!(out.status.code(), Some(code), "{shown}\n{}{}", text(&out.stdout), text(&out.stderr));
    (text(&out.stdout), text(&out.stderr))
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A temporary folder with plans of the shipped checkpoint.
pub struct Harness {
    pub dir: TempDir,
}

impl Harness {
    pub fn new() -> Harness {
        Harness { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `samp compile` of the shipped checkpoint into `name`.
    pub fn compiling(&self, name: &str, args: &[&str]) -> Command {
        self.compiling_model(&tiny_llama(), name, args)
    }

    /// `samp compile` of any checkpoint into `name`.
    pub fn compiling_model(&self, model: &Path, name: &str, args: &[&str]) -> Command {
        let mut command = samp(["compile", "--quiet"]);
        command.arg(model).arg("-o").arg(self.path(name)).args(args);
        command
    }

    /// Compiles the shipped checkpoint into `name`.
    pub fn compile(&self, name: &str, args: &[&str]) -> PathBuf {
        ok(self.compiling(name, args));
        self.path(name)
    }
}

/// Every file of a folder with its bytes, by name.
pub fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = vec![];
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                found.push((path.strip_prefix(dir).expect("inside").into(), bytes));
            }
        }
    }
    found.sort();
    found
}

/// Fails unless both folders hold the same files with the same bytes.
pub fn assert_same(a: &Path, b: &Path) {
    let (in_a, in_b) = (files(a), files(b));
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&in_a), names(&in_b));
    for ((name, x), (_, y)) in in_a.iter().zip(&in_b) {
        assert!(x == y, "{} differs", name.display());
    }
}

/// A seeded stream of numbers, so that a failing draw can be drawn again.
pub struct Draws(SplitMix64);

impl Draws {
    pub fn new(seed: u64) -> Draws {
        Draws(SplitMix64::new(seed))
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.bits() % bound
    }
}
