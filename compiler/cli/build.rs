//! Tells the command which commit it is built of: that of the repository that this package lies in, or what
//! `SAMP_COMMIT` says where there is none (an unpacked archive, say).

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SAMP_COMMIT");
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let given = env::var("SAMP_COMMIT").ok().map(|commit| commit.trim().to_owned()).filter(|c| !c.is_empty());
    let commit = given.or_else(|| repository_commit(&package));
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let short = match &commit {
        Some(commit) => format!("{version} ({})", commit.get(..12).unwrap_or(commit)),
        None => version,
    };
    println!("cargo::rustc-env=SAMP_VERSION={short}");
    println!("cargo::rustc-env=SAMP_BUILD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// The commit of the repository whose root is this workspace, and what cargo is to watch so that it is asked again after
/// the next one. `None` without git, and in a copy that lies inside of some other repository.
fn repository_commit(package: &Path) -> Option<String> {
    let workspace = package.join("../..").canonicalize().ok()?;
    let root = PathBuf::from(git(package, &["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    if root != workspace {
        return None;
    }
    let commit = git(package, &["rev-parse", "HEAD"])?;
    // A worktree has a HEAD of its own and shares the rest, so git says where they lie. Branches may be packed.
    let branch = git(package, &["symbolic-ref", "--quiet", "HEAD"]);
    let watched = ["HEAD", "logs/HEAD", "packed-refs"].into_iter().map(str::to_owned).chain(branch);
    for name in watched {
        let path = git(package, &["rev-parse", "--git-path", &name]).map(|path| package.join(path));
        // A path that is not there would have cargo ask every time.
        if let Some(path) = path.filter(|path| path.exists()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    Some(commit)
}

fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let out = Command::new("git").arg("-C").arg(folder).args(args).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?.trim().to_owned();
    (out.status.success() && !text.is_empty()).then_some(text)
}
