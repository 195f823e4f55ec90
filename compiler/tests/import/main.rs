//! Import and recipes: real checkpoints, every refusal with its text, and random damage.

mod bind;
mod checkpoint;
mod config;
mod graph;
mod mutate;
mod paths;
mod quantized;
mod recipe;
#[path = "../support/tiny_checkpoint.rs"]
mod tiny_checkpoint;

use std::path::{Path, PathBuf};

use samp_ir::Diagnostic;

/// A file or folder of `testdata`.
fn testdata(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata")).join(path)
}

/// Compares with `testdata/cases/import/NAME.snap`.
fn assert_case(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(testdata("cases/import"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The finding with `DIR` for the path of a folder whose name changes from run to run.
fn without_folder(mut finding: Diagnostic, folder: &Path) -> Diagnostic {
    let shown = |text: String| text.replace(&folder.display().to_string(), "DIR");
    finding.message = finding.message.replace(&folder.display().to_string(), "DIR");
    finding.hint = finding.hint.map(shown);
    finding.location.file = finding.location.file.map(shown);
    finding
}

/// Cases by name, each with what was said of it.
fn report<'a>(cases: impl IntoIterator<Item = (&'a str, Result<(), Diagnostic>)>) -> String {
    let mut text = String::new();
    for (name, outcome) in cases {
        let said = outcome.map_or_else(|finding| finding.to_string(), |()| "accepted".into());
        text += &format!("── {name}\n{said}\n\n");
    }
    text
}
