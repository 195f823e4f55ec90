//! No file may need a file that needs it: module cycles are found from the paths that sources name.
//!
//! An arrow goes from the file that names an item to the file that defines it, re-exports followed; a `mod.rs` that only
//! declares and re-exports its children draws none. Methods carry no path and draw none either. Tests are left out.

mod graph;
mod made_up;
mod resolve;
mod tokens;
mod tree;

use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, TargetKind};

use tree::{Files, Modules};

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .other_options(["--locked".into()])
        .exec()
        .expect("cargo metadata")
}

/// Every Rust file under a folder, by its path from `root`.
fn read_folder(files: &mut Files, root: &Path, folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_folder(files, root, &path);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            files.insert(path.strip_prefix(root).expect("inside the workspace").to_owned(), text);
        }
    }
}

/// The modules of every library and program of the workspace.
fn workspace() -> Modules {
    let (metadata, mut files, mut modules) = (metadata(), Files::new(), Modules::new());
    let root = metadata.workspace_root.clone().into_std_path_buf();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().expect("a folder").join("src").into_std_path_buf();
        read_folder(&mut files, &root, &folder);
        for target in &package.targets {
            let first: PathBuf =
                target.src_path.strip_prefix(&metadata.workspace_root).expect("inside").into();
            // A program's name holds what no name of a crate does, so that paths never lead into it.
            let name = match target.kind.as_slice() {
                [TargetKind::Lib] => target.name.replace('-', "_"),
                [TargetKind::Bin] => format!("program {}", target.name),
                _ => continue,
            };
            tree::read_crate(&mut modules, &files, &name, &first);
        }
    }
    modules
}

#[test]
fn no_file_needs_a_file_that_needs_it() {
    let modules = workspace();
    assert!(modules.len() > 200, "only {} modules were read", modules.len());
    let arrows = resolve::arrows(&modules);
    let arrow_count: usize = arrows.values().map(|to| to.len()).sum();
    assert!(arrow_count > 800, "only {arrow_count} arrows were found");
    let cycles = graph::cycles(&arrows);
    let described: Vec<String> = cycles.iter().map(|c| graph::describe(&arrows, c)).collect();
    assert!(cycles.is_empty(), "{} cycles among files\n{}", cycles.len(), described.join("\n"));
}
