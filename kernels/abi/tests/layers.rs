//! Which crates may use which, checked against what Cargo resolves.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// A crate of the workspace, its layer, and the siblings that it may use: all of lower layers.
struct Layer {
    name: &'static str,
    layer: u32,
    may_use: &'static [&'static str],
}

const fn on(layer: u32, name: &'static str, may_use: &'static [&'static str]) -> Layer {
    Layer { name, layer, may_use }
}

/// Every crate, from the lowest layer up.
const LAYERS: &[Layer] = &[
    on(1, "samp-abi", &[]),
    on(2, "samp-kernels", &["samp-abi"]),
    on(2, "samp-ir", &["samp-abi"]),
    on(3, "samp-nvrtc", &["samp-abi", "samp-kernels"]),
    on(3, "samp-static-model", &["samp-abi", "samp-kernels"]),
    on(3, "samp-kernel-cases", &["samp-abi", "samp-kernels"]),
    on(3, "samp-passes", &["samp-abi", "samp-ir", "samp-kernels"]),
    on(3, "samp-emulator", &["samp-kernels"]),
    on(4, "samp-runtime", &["samp-abi", "samp-kernels", "samp-emulator"]),
    on(
        5,
        "samp-gpu-bench",
        &["samp-abi", "samp-kernels", "samp-kernel-cases", "samp-nvrtc", "samp-runtime", "samp-emulator"],
    ),
    on(5, "samp-c", &["samp-abi", "samp-runtime"]),
    on(5, "samp-python", &["samp-runtime"]),
    on(5, "samp-server", &["samp-abi", "samp-kernels", "samp-runtime"]),
    on(
        5,
        "samp-compiler",
        &["samp-abi", "samp-kernels", "samp-nvrtc", "samp-runtime", "samp-ir", "samp-passes"],
    ),
    on(
        6,
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

/// The top folders and the height of each. Code may use its own folder and lower ones.
const FOLDERS: &[(&str, u32)] = &[("kernels", 1), ("passes", 2), ("runtime", 2), ("compiler", 3)];

/// Crates and what their whole dependency tree must not hold.
const NEVER: &[(&str, &[&str])] = &[
    ("samp-abi", &["tokio", "melior", "mlir-sys", "memmap2"]),
    ("samp-kernels", &["melior", "mlir-sys", "cudarc", "memmap2", "tokio"]),
    ("samp-nvrtc", &["melior", "mlir-sys", "cudarc", "tokio"]),
    ("samp-static-model", &["melior", "mlir-sys", "cudarc", "tokio", "samp-kernel-cases"]),
    ("samp-kernel-cases", &["melior", "mlir-sys", "cudarc", "tokio"]),
    ("samp-emulator", &["melior", "mlir-sys", "cudarc", "tokio", "samp-kernel-cases"]),
    ("samp-runtime", &["melior", "mlir-sys", "tokio", "samp-kernel-cases"]),
    ("samp-gpu-bench", &["melior", "mlir-sys", "tokio"]),
    ("samp-c", &["melior", "mlir-sys", "tokio", "pyo3", "samp-passes", "samp-kernel-cases"]),
    ("samp-python", &["melior", "mlir-sys", "tokio", "samp-passes", "samp-kernel-cases"]),
    ("samp-server", &["melior", "mlir-sys", "samp-passes", "samp-kernel-cases"]),
    ("samp-ir", &["cudarc", "memmap2"]),
    ("samp-passes", &["cudarc", "memmap2", "tokio"]),
    ("samp-compiler", &["tokio", "samp-kernel-cases"]),
    ("samp-cli", &["samp-kernel-cases"]),
];

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(["--locked".into(), "--all-features".into()])
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

fn layer_of(name: &str) -> &'static Layer {
    let found = LAYERS.iter().find(|layer| layer.name == name);
    found.unwrap_or_else(|| panic!("{name} has no row in LAYERS: decide its layer"))
}

/// The siblings that each crate uses outside its tests, as (user, used).
fn sibling_edges(metadata: &Metadata) -> Vec<(&Package, &Package)> {
    let siblings = metadata.workspace_packages();
    let used = |user: &'_ &'_ Package| {
        let normal = user.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        normal.map(|d| d.name.clone()).collect::<Vec<_>>()
    };
    let edges = siblings.iter().flat_map(|user| used(user).into_iter().map(move |name| (*user, name)));
    let found = |name: &str| siblings.iter().find(|p| p.name.as_str() == name).copied();
    edges.filter_map(|(user, name)| Some((user, found(&name)?))).collect()
}

#[test]
fn every_crate_uses_only_the_layers_below() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        layer_of(package.name.as_str());
    }
    for (user, used) in sibling_edges(&metadata) {
        let (user, used) = (layer_of(user.name.as_str()), layer_of(used.name.as_str()));
        assert!(user.may_use.contains(&used.name), "{} must not use {}", user.name, used.name);
        assert!(user.layer > used.layer, "{} uses {}, which is no lower", user.name, used.name);
    }
}

/// What is wrong with a crate at one path that uses a crate at another, where the folders' heights forbid it.
fn folder_fault(user: &str, used: &str) -> Option<String> {
    let place = |path: &str| {
        let top = path.split('/').next().unwrap_or(path).to_owned();
        let height = FOLDERS.iter().find(|(folder, _)| *folder == top).map(|&(_, height)| height);
        height.map(|height| (top, height)).ok_or_else(|| format!("{path} lies in no top folder"))
    };
    match (place(user), place(used)) {
        (Err(fault), _) | (_, Err(fault)) => Some(fault),
        (Ok((user_top, _)), Ok((used_top, _))) if user_top == used_top => None,
        (Ok((_, above)), Ok((_, below))) if above > below => None,
        _ => Some(format!("{user} uses {used}: an arrow between folders that does not lead down")),
    }
}

#[test]
fn arrows_between_folders_lead_down() {
    let metadata = metadata();
    let path = |package: &Package| {
        let folder = package.manifest_path.parent().expect("a folder");
        folder.strip_prefix(&metadata.workspace_root).expect("inside the workspace").to_string()
    };
    let faults = sibling_edges(&metadata).into_iter().filter_map(|(a, b)| folder_fault(&path(a), &path(b)));
    assert_eq!(faults.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_crate_in_the_folder_of_a_higher_layer_is_refused() {
    assert!(folder_fault("kernels", "runtime/abi").is_some(), "up");
    assert!(folder_fault("passes", "compiler/ir").is_some(), "up");
    assert!(folder_fault("passes", "runtime").is_some(), "sideways");
    assert!(folder_fault("tools/lint", "kernels").is_some(), "a folder of its own");
    assert_eq!(folder_fault("compiler/cli", "passes/ir"), None);
    assert_eq!(folder_fault("kernels/gpu/emulator", "kernels"), None);
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
