//! What lies in a plan's folder without being named by its manifest changes nothing, whatever it is.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink, net::UnixListener},
    path::Path,
};

use proptest::prelude::*;
use samp_abi::plan::TensorId;
use samp_runtime::{Fault, OpenPlan, named_files, open, open_staged, unnamed_entries, validate};

use crate::support::{SAMP, TinyPlan, make};

/// What can lie around.
#[derive(Clone, Copy, Debug)]
enum Kind {
    File,
    Unreadable,
    EmptyFolder,
    FullFolder,
    UnlistableFolder,
    DanglingLink,
    LinkToItself,
    LinkToThePlan,
    Socket,
}

const KINDS: [Kind; 9] = [
    Kind::File,
    Kind::Unreadable,
    Kind::EmptyFolder,
    Kind::FullFolder,
    Kind::UnlistableFolder,
    Kind::DanglingLink,
    Kind::LinkToItself,
    Kind::LinkToThePlan,
    Kind::Socket,
];

/// Puts something there; `false` if the name is taken.
fn put(kind: Kind, path: &Path) -> bool {
    if path.symlink_metadata().is_ok() {
        return false;
    }
    let mode = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    match kind {
        Kind::File => fs::write(path, "left here").unwrap(),
        Kind::Unreadable => {
            fs::write(path, "left here").unwrap();
            mode(0o000);
        }
        Kind::EmptyFolder => fs::create_dir(path).unwrap(),
        Kind::FullFolder => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("plan.json"), "{}").unwrap();
        }
        Kind::UnlistableFolder => {
            fs::create_dir(path).unwrap();
            mode(0o000);
        }
        Kind::DanglingLink => symlink("/nowhere/at/all", path).unwrap(),
        Kind::LinkToItself => symlink(path, path).unwrap(),
        Kind::LinkToThePlan => symlink(path.parent().unwrap(), path).unwrap(),
        Kind::Socket => drop(UnixListener::bind(path).unwrap()),
    }
    true
}

/// Everything that opening gives.
fn contents(plan: &OpenPlan) -> Vec<Vec<u8>> {
    let manifest = plan.manifest();
    let mut all = vec![serde_json::to_vec(manifest).unwrap(), serde_json::to_vec(&plan.golden()).unwrap()];
    all.extend(manifest.files.iter().map(|file| plan.file(&file.path).unwrap().to_vec()));
    for (index, tensor) in manifest.tensors.iter().enumerate() {
        let view = plan.tensor(TensorId(index as u32));
        all.extend(tensor.parts.iter().map(|part| view.part(part.component).to_vec()));
    }
    all
}

/// Opening gives the same as before, no check finds anything, and a listing gives the entry alone.
fn changes_nothing(plan: &TinyPlan, before: &[Vec<u8>], entry: &str) {
    let opened = open(plan.path()).unwrap();
    assert!(contents(&opened) == before, "{entry} changed what opening gives");
    assert!(opened.file(entry).is_none());
    open_staged(plan.path()).unwrap();
    assert_eq!(validate(plan.path()), []);
    let found = unnamed_entries(plan.path(), &named_files(opened.manifest())).unwrap();
    assert_eq!(found, [entry]);
}

fn remove(path: &Path) {
    if path.symlink_metadata().unwrap().is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn every_kind_of_entry_is_listed_and_left_alone() {
    let plan = make(SAMP);
    let before = contents(&open(plan.path()).unwrap());
    let names = [
        ".gitattributes",
        "README.md",
        ".cache",
        ".DS_Store",
        "lost+found",
        "notes/extra",
        "weights-00003-of-00003.safetensors",
    ];
    for name in names {
        for kind in KINDS {
            let path = plan.path().join(name);
            assert!(put(kind, &path), "{name}");
            changes_nothing(&plan, &before, name);
            remove(&path);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_unnamed_entry_never_changes_what_opening_gives(
        name in "[^/\u{0}]{1,10}",
        nested in any::<bool>(),
        kind in prop::sample::select(&KINDS[..]),
    ) {
        prop_assume!(name != "." && name != "..");
        let plan = make(SAMP);
        let before = contents(&open(plan.path()).unwrap());
        let entry = if nested { format!("notes/{name}") } else { name };
        if put(kind, &plan.path().join(&entry)) && entry != samp_abi::plan::SIGNATURE_FILE {
            changes_nothing(&plan, &before, &entry);
            remove(&plan.path().join(&entry));
        }
    }
}

#[test]
fn a_name_that_is_not_text_is_listed_as_far_as_it_is() {
    let plan = make(SAMP);
    let before = contents(&open(plan.path()).unwrap());
    fs::write(plan.path().join(std::ffi::OsStr::from_bytes(b"plan.js\xffn")), "").unwrap();
    changes_nothing(&plan, &before, "plan.js\u{fffd}n");
}

#[test]
fn a_signature_belongs_to_the_plan() {
    let plan = make(SAMP);
    fs::write(plan.path().join(samp_abi::plan::SIGNATURE_FILE), "not even a signature").unwrap();
    let opened = open(plan.path()).unwrap();
    assert_eq!(unnamed_entries(plan.path(), &named_files(opened.manifest())).unwrap(), [""; 0]);
}

#[test]
fn named_files_are_still_regular_ones() {
    let plan = make(SAMP);
    let path = plan.path().join("golden.json");
    let away = plan.path().join("away.json");
    fs::rename(&path, &away).unwrap();
    symlink("away.json", &path).unwrap();
    let faults: Vec<Fault> = validate(plan.path()).iter().map(|fault| fault.fault).collect();
    assert_eq!(faults, [Fault::FileKind]);
}

#[test]
fn a_digest_names_the_manifest() {
    let plan = make(SAMP);
    let opened = open(plan.path()).unwrap();
    assert_eq!(opened.digest(), opened.manifest().digest);
    assert_eq!(opened.digest().len(), 64);
}
