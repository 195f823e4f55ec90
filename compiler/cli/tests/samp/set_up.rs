//! The set-up on machines that lack something, with programs that stand for the machine's own.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::harness::root;

/// A machine: the tools of every Debian, and what is added to them.
struct Machine {
    programs: TempDir,
}

impl Machine {
    /// One that has the tools that the set-up itself is written with, and an ordinary user.
    fn new() -> Machine {
        let machine = Machine { programs: tempfile::tempdir().unwrap() };
        for tool in ["bash", "cat", "cut", "dirname", "env", "head", "sed", "sort"] {
            symlink(which(tool), machine.programs.path().join(tool)).unwrap();
        }
        machine.with("id", "echo 1000")
    }

    /// Adds a program by its script.
    fn with(self, name: &str, script: &str) -> Machine {
        let path = self.programs.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Runs the set-up, which is to fail, without a terminal; gives what it says.
    fn refusal(&self) -> String {
        let out = Command::new("/bin/bash")
            .arg(root().join(".ci/setup"))
            .env_clear()
            .env("PATH", self.programs.path())
            .env("HOME", self.programs.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(1), "{said}");
        said
    }
}

fn which(tool: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap();
    let places = env::split_paths(&path).chain([PathBuf::from("/usr/bin"), PathBuf::from("/bin")]);
    places.map(|folder| folder.join(tool)).find(|file| file.is_file()).expect("a tool of every Debian")
}

const NOTHING_INSTALLED: &str = "exit 1";
const ALL_INSTALLED: &str = "echo install ok installed";

#[test]
fn without_sudo_the_set_up_says_what_root_has_to_run() {
    let said = Machine::new().with("dpkg-query", NOTHING_INSTALLED).with("apt-get", "exit 1").refusal();
    assert!(said.contains("without sudo only root") && said.contains("apt-get install"), "{said}");
    assert!(said.contains("llvm-22-dev") && said.contains("curl"), "{said}");
}

#[test]
fn where_sudo_would_ask_nobody_the_set_up_does_not_wait() {
    let machine = Machine::new().with("dpkg-query", NOTHING_INSTALLED).with("apt-get", "exit 1");
    let said = machine.with("sudo", "exit 1").refusal();
    assert!(said.contains("sudo asks for a password here") && said.contains("apt-get install"), "{said}");
}

#[test]
fn without_llvm_among_the_packages_the_set_up_says_where_it_is() {
    let machine = Machine::new().with("dpkg-query", NOTHING_INSTALLED).with("apt-get", "exit 0");
    let said = machine.with("id", "echo 0").with("apt-cache", "echo '  Candidate: (none)'").refusal();
    // On Debian 12 only its security updates can be missing.
    assert!(
        said.contains("LLVM 22 is in Debian's security updates") || said.contains("samp builds on Debian 12")
    );
}

#[test]
fn without_debian_the_set_up_says_what_to_install() {
    let said = Machine::new().with("dpkg-query", NOTHING_INSTALLED).refusal();
    assert!(said.contains("apt-get, which is not here") && said.contains("libmlir-22-dev"), "{said}");
}

#[test]
fn an_unreachable_rustup_is_said_with_what_to_do() {
    let machine = Machine::new().with("dpkg-query", ALL_INSTALLED);
    let said = machine.with("curl", "echo 'curl: (6) Could not resolve host' >&2; exit 6").refusal();
    assert!(
        said.contains("Could not resolve host") && said.contains("could not be installed from"),
        "{said}"
    );
    assert!(said.contains("put a toolchain of this version on the PATH"), "{said}");
}
