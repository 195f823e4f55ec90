//! Damage to the files of a plan: every bit and every length counts, and nothing panics.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};
use samp_runtime::{Fault, open, validate};

use crate::support::{SAMP, TinyPlan, make};

/// All files of a plan.
fn files(plan: &TinyPlan) -> Vec<PathBuf> {
    let mut files = vec![];
    let mut folders = vec![plan.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The codes of all findings; `open` must agree that there are some.
fn faults(plan: &TinyPlan) -> Vec<Fault> {
    let findings = validate(plan.path());
    for finding in &findings {
        assert!(finding.code().starts_with("E13") && finding.message().contains(&finding.expected));
        let (shown, remedy) = (finding.to_string(), finding.fault.remedy());
        assert!(shown.starts_with(&finding.file) && shown.ends_with(remedy), "{shown}");
    }
    assert_eq!(findings.first().cloned(), open(plan.path()).err());
    findings.iter().map(|f| f.fault).collect()
}

fn damaged(plan: &TinyPlan, path: &Path, bytes: &[u8]) -> Vec<Fault> {
    let whole = fs::read(path).unwrap();
    fs::write(path, bytes).unwrap();
    let found = faults(plan);
    fs::write(path, whole).unwrap();
    found
}

#[test]
fn a_sound_plan_is_opened() {
    let plan = make(SAMP);
    assert_eq!(validate(plan.path()), []);
    let open = open(plan.path()).unwrap();
    assert_eq!(open.file("notes/readme.txt"), Some(&b"a file in a folder\n"[..]));
    assert_eq!(open.file("plan.json"), None);
    assert_eq!(open.golden().unwrap().rows.len(), 2);
    for index in 0..open.manifest().tensors.len() {
        open.tensor(samp_abi::plan::TensorId(index as u32));
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let plan = make(SAMP);
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for path in files(&plan) {
        let whole = fs::read(&path).unwrap();
        for _ in 0..400 {
            let (at, bit) = (random.random_range(0..whole.len()), random.random_range(0..8));
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let found = damaged(&plan, &path, &bytes);
            assert!(!found.is_empty(), "{}: bit {bit} of byte {at}", path.display());
        }
    }
    assert_eq!(validate(plan.path()), []);
}

#[test]
fn every_wrong_length_is_found() {
    let plan = make(SAMP);
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for path in files(&plan) {
        let whole = fs::read(&path).unwrap();
        let lengths =
            (0..60).map(|_| random.random_range(0..whole.len())).chain([0, 1, 63, 64, whole.len() - 1]);
        for length in lengths.collect::<Vec<_>>() {
            let found = damaged(&plan, &path, &whole[..length.min(whole.len() - 1)]);
            assert!(!found.is_empty(), "{} cut to {length}", path.display());
        }
        for tail in [&b"\0"[..], b"\n", b"more"] {
            assert!(!damaged(&plan, &path, &[&whole[..], tail].concat()).is_empty(), "{}", path.display());
        }
    }
}

/// A size alone shows that a file is another: nothing of it is read, however large it is.
#[test]
fn files_of_another_size_are_not_read() {
    let plan = make(SAMP);
    for path in ["golden.json", "notes/readme.txt"] {
        let path = plan.path().join(path);
        let whole = fs::read(&path).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(8 << 30).unwrap();
        assert_eq!(faults(&plan), [Fault::FileSize], "{}", path.display());
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn missing_files_links_and_folders_are_found() {
    let plan = make(SAMP);
    let elsewhere = tempfile::tempdir().unwrap();
    for path in files(&plan) {
        let away = elsewhere.path().join("file");
        fs::rename(&path, &away).unwrap();
        assert!(faults(&plan).contains(&Fault::FileMissing), "{}", path.display());
        std::os::unix::fs::symlink(&away, &path).unwrap();
        assert!(faults(&plan).contains(&Fault::FileKind), "{}", path.display());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(faults(&plan).contains(&Fault::FileKind), "{}", path.display());
        fs::remove_dir(&path).unwrap();
        fs::rename(&away, &path).unwrap();
    }
    let notes = plan.path().join("notes");
    fs::rename(&notes, elsewhere.path().join("notes")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("notes"), &notes).unwrap();
    assert!(faults(&plan).contains(&Fault::FileKind), "a folder that is a link");
}

#[test]
fn names_that_cannot_be_shown_are_found() {
    let plan = make(SAMP);
    for (name, found) in [
        (None, vec![]),
        (Some("tiny 1"), vec![]),
        (Some("\u{1b}[31m"), vec![Fault::Model]),
        (Some(""), vec![Fault::Model]),
    ] {
        plan.edit(|manifest| manifest.provenance.name = name.map(str::to_owned));
        assert_eq!(faults(&plan), found, "{name:?}");
    }
}

#[test]
fn exchanged_files_and_tensors_are_found() {
    let plan = make(SAMP);
    let weights: Vec<PathBuf> = plan.manifest().weights.iter().map(|w| plan.path().join(&w.path)).collect();
    let (first, second) = (fs::read(&weights[0]).unwrap(), fs::read(&weights[1]).unwrap());
    fs::write(&weights[0], &second).unwrap();
    fs::write(&weights[1], &first).unwrap();
    assert!(faults(&plan).contains(&Fault::FileSize));
    fs::write(&weights[1], &second).unwrap();
    // Two norm weights of one shape, their bytes exchanged within the file.
    let manifest = plan.manifest();
    let same: Vec<_> =
        manifest.tensors.iter().filter(|t| t.name.contains("norm")).map(|t| &t.parts[0]).collect();
    let (a, b) =
        (same[0], same.iter().find(|p| p.file == same[0].file && p.offset != same[0].offset).unwrap());
    let path = &weights[a.file as usize];
    let mut bytes = if a.file == 0 { first.clone() } else { second.clone() };
    let part = |p: &samp_abi::plan::StoredComponent| p.offset as usize..(p.offset + p.bytes) as usize;
    let (of_a, of_b) = (bytes[part(a)].to_vec(), bytes[part(b)].to_vec());
    bytes[part(a)].copy_from_slice(&of_b);
    bytes[part(b)].copy_from_slice(&of_a);
    fs::write(&weights[0], &first).unwrap();
    assert_eq!(damaged(&plan, path, &bytes), [Fault::PartHash, Fault::PartHash]);
}

#[test]
fn what_is_no_plan_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(open(dir.path()).unwrap_err().fault, Fault::NotAPlan);
    assert_eq!(open(&dir.path().join("nowhere")).unwrap_err().fault, Fault::NotAPlan);
    let deep = "[".repeat(100_000);
    for text in ["", "{}", "null", "\u{feff}{}", &deep, "{\"schema\": \"2.0.0\"}", "{\"schema\": \"x\"}"] {
        fs::write(dir.path().join("plan.json"), text).unwrap();
        assert_eq!(open(dir.path()).unwrap_err().fault, Fault::ManifestMalformed, "{text:.40}");
    }
    fs::write(dir.path().join("plan.json"), "{\"schema\": \"3.0.0\", \"new\": 1}").unwrap();
    let later = open(dir.path()).unwrap_err();
    assert_eq!((later.fault, later.found.as_str()), (Fault::SchemaVersion, "3.0.0"));
}

/// Opening says what the path leads to, and validating says no more than that.
#[test]
fn what_is_there_instead_of_a_plan_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [("config.json", "{}"), ("model.safetensors", "x")] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let refusal = open(dir.path()).unwrap_err();
    assert!(refusal.is_wrong_path() && refusal.found == "a checkpoint", "{refusal}");
    let (shown, given) = (refusal.to_string(), dir.path().display());
    let expected =
        format!("{given}: expected a plan's folder, found a checkpoint; compile it first: samp compile");
    assert!(shown.starts_with(&expected), "{shown}");
    assert_eq!(validate(dir.path()), [refusal]);
}

#[test]
fn pointers_of_git_lfs_are_told_from_damage() {
    let plan = make(SAMP);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
    for path in files(&plan) {
        let whole = fs::read(&path).unwrap();
        let found = damaged(&plan, &path, pointer.as_bytes());
        assert!(found.contains(&Fault::LfsPointer), "{}: {found:?}", path.display());
        fs::write(&path, whole).unwrap();
    }
}
