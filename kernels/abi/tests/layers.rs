//! The house rules on who may use whom, checked against what Cargo resolves.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Each crate of the workspace and the siblings it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("samp-abi", &[]),
    ("samp-kernels", &["samp-abi"]),
    ("samp-nvrtc", &["samp-kernels"]),
    ("samp-kernel-cases", &["samp-abi", "samp-kernels"]),
    ("samp-emulator", &["samp-kernels", "samp-kernel-cases"]),
    ("samp-runtime", &["samp-abi", "samp-kernels", "samp-emulator"]),
    (
        "samp-gpu-bench",
        &["samp-abi", "samp-kernels", "samp-kernel-cases", "samp-nvrtc", "samp-runtime", "samp-emulator"],
    ),
    ("samp-ir", &["samp-abi"]),
    ("samp-passes", &["samp-abi", "samp-ir", "samp-kernels"]),
    ("samp-compiler", &["samp-abi", "samp-kernels", "samp-nvrtc", "samp-runtime", "samp-ir", "samp-passes"]),
    (
        "samp-cli",
        &[
            "samp-abi",
            "samp-kernels",
            "samp-nvrtc",
            "samp-runtime",
            "samp-ir",
            "samp-passes",
            "samp-compiler",
        ],
    ),
];

/// Crates and what their whole dependency tree must not hold.
const NEVER: &[(&str, &[&str])] = &[
    ("samp-abi", &["tokio", "melior", "mlir-sys", "memmap2"]),
    ("samp-kernels", &["melior", "mlir-sys", "cudarc", "memmap2", "tokio"]),
    ("samp-nvrtc", &["melior", "mlir-sys", "cudarc", "tokio"]),
    ("samp-emulator", &["melior", "mlir-sys", "cudarc", "tokio"]),
    ("samp-runtime", &["melior", "mlir-sys", "tokio"]),
    ("samp-gpu-bench", &["melior", "mlir-sys", "tokio"]),
    ("samp-ir", &["cudarc", "memmap2"]),
    ("samp-passes", &["cudarc", "memmap2", "tokio"]),
];

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(["--locked".into()])
        .exec()
        .expect("cargo metadata")
}

/// Names of all packages that `root` links, not counting those only its tests or build script use.
fn closure(metadata: &Metadata, root: &PackageId) -> BTreeSet<String> {
    let nodes = &metadata.resolve.as_ref().expect("resolved").nodes;
    let edges: BTreeMap<_, _> = nodes.iter().map(|n| (&n.id, &n.deps)).collect();
    let (mut seen, mut queue) = (BTreeSet::new(), vec![root]);
    while let Some(id) = queue.pop() {
        if !seen.insert(id) {
            continue;
        }
        let normal =
            |d: &&cargo_metadata::NodeDep| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
        queue.extend(edges[id].iter().filter(normal).map(|d| &d.pkg));
    }
    seen.iter().map(|id| metadata[id].name.to_string()).collect()
}

#[test]
fn every_crate_uses_only_the_floors_below() {
    let metadata = metadata();
    let siblings: BTreeSet<_> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    for package in metadata.workspace_packages() {
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == package.name.as_str())
            .unwrap_or_else(|| panic!("{} has no row in LAYERS: decide its floor", package.name));
        let normal = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        for used in normal.map(|d| d.name.as_str()).filter(|n| siblings.contains(*n)) {
            assert!(allowed.contains(&used), "{} must not use {used}", package.name);
        }
    }
}

#[test]
fn nothing_links_what_it_must_never_know() {
    let metadata = metadata();
    for (name, never) in NEVER {
        let package = metadata.packages.iter().find(|p| p.name.as_str() == *name).expect("a workspace crate");
        let linked = closure(&metadata, &package.id);
        for banned in *never {
            assert!(!linked.contains(*banned), "{name} links {banned}");
        }
    }
}
