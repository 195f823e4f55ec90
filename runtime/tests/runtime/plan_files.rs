//! Files of plans whose manifest is sealed anew: paths, golden probes and stored values that make no sense.

use std::fs;

use samp_abi::{Component, Format, Group, plan::*};
use samp_runtime::{Fault, validate};

use crate::{
    manifests::{QKV, check, tensor},
    support::{Recipe, SAMP, TinyPlan, hash, make},
};

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    check(
        &make(SAMP),
        &[
            ("up", Fault::FilePath, |p| p.files[0].path = "../plan.mlir".into()),
            ("absolute", Fault::FilePath, |p| p.files[0].path = "/etc/passwd".into()),
            ("roundabout", Fault::FilePath, |p| p.files[1].path = "notes/./readme.txt".into()),
            ("empty", Fault::FilePath, |p| p.files[0].path = String::new()),
            ("nul", Fault::FilePath, |p| p.files[0].path = "a\0b".into()),
            ("twice", Fault::FilePath, |p| p.files.push(p.files[0].clone())),
            ("the manifest itself", Fault::FilePath, |p| p.files[0].path = MANIFEST_FILE.into()),
            ("weights", Fault::FilePath, |p| p.weights[0].path = "../weights".into()),
            ("weights twice", Fault::FilePath, |p| p.weights[0].path = p.weights[1].path.clone()),
        ],
    );
}

#[test]
fn probes_that_make_no_sense_are_refused() {
    let plan = make(SAMP);
    let path = plan.path().join(GOLDEN_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let cases: [(&str, &str); 7] = [
        ("[1,5,9,2,77,3,30]", "[1,5,9,2,80,3,30]"),
        ("[1,5,9,2,77,3,30]", "[]"),
        ("\"tolerance\":0.001", "\"tolerance\":0.0"),
        ("\"tolerance\":0.001", "\"tolerance\":-1"),
        ("\"position\":6", "\"position\":7"),
        ("[[0,", "[[81,"),
        ("\"tolerance\"", "\"other\":1,\"tolerance\""),
    ];
    for (from, to) in cases {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        fs::write(&path, &changed).unwrap();
        plan.edit(|plan| {
            let file = plan.files.iter_mut().find(|f| f.path == GOLDEN_FILE).unwrap();
            (file.bytes, file.blake3) = (changed.len() as u64, hash(changed.as_bytes()));
        });
        let findings = validate(plan.path());
        assert!(
            findings.iter().all(|f| f.fault == Fault::Golden) && !findings.is_empty(),
            "{to}: {findings:?}"
        );
    }
    plan.edit(|plan| plan.files.retain(|f| f.path != GOLDEN_FILE));
    fs::remove_file(&path).unwrap();
    assert_eq!(validate(plan.path()).iter().map(|f| f.fault).collect::<Vec<_>>(), [Fault::Golden]);
}

/// Bytes that are written from a place on.
struct Change<'a> {
    at: usize,
    bytes: &'a [u8],
}

fn change(at: usize, bytes: &[u8]) -> Change<'_> {
    Change { at, bytes }
}

/// Writes into a part of a tensor, and hashes it anew.
fn overwrite(plan: &TinyPlan, name: &str, component: Component, change: Change<'_>) {
    plan.edit(|manifest| {
        let part = tensor(manifest, name).parts.iter_mut().find(|p| p.component == component).unwrap();
        let path = plan.path().join(weights_file_name(part.file as usize, 2));
        let mut file = fs::read(&path).unwrap();
        let start = part.offset as usize;
        file[start + change.at..][..change.bytes.len()].copy_from_slice(change.bytes);
        part.blake3 = hash(&file[start..start + part.bytes as usize]);
        fs::write(&path, file).unwrap();
    });
}

#[test]
fn values_that_no_encoder_writes_are_refused() {
    let asymmetric = Format::Int4 { group: Group::G64, zero_point: true };
    let with_outliers = Format::Int8 { outliers: true };
    let nan = f32::NAN.to_le_bytes();
    let (zero, negative, absurd) = (0f32.to_le_bytes(), (-1f32).to_le_bytes(), 1e37f32.to_le_bytes());
    let cases: [(Format, &str, Component, Change<'_>); 8] = [
        (SAMP.attention, QKV, Component::Scales, change(4, &zero)),
        (SAMP.attention, QKV, Component::Scales, change(8, &negative)),
        (SAMP.attention, QKV, Component::Scales, change(0, &absurd)),
        (with_outliers, QKV, Component::Scales, change(0, &absurd)),
        (SAMP.attention, "norm", Component::Values, change(0, &nan)),
        (SAMP.attention, QKV, Component::Values, change(1, &[0xFF])),
        (asymmetric, QKV, Component::ZeroPoints, change(3, &[16])),
        // Row 2 of column 3, which is kept apart, in tiles of 16 rows.
        (with_outliers, QKV, Component::Values, change(3 * 16 + 2, &[1])),
    ];
    for (attention, name, component, change) in cases {
        let plan = make(Recipe { attention, ..SAMP });
        overwrite(&plan, name, component, change);
        let faults: Vec<Fault> = validate(plan.path()).iter().map(|f| f.fault).collect();
        assert_eq!(faults, [Fault::PartValues], "{attention} {name}");
    }
}
