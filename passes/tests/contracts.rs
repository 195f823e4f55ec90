//! Every pass file states its contract: what it is for, the graph before and after, what it requires, ensures and does not do.

use std::{fs, path::Path};

/// What the head of a pass file says, each once.
const CLAUSES: [&str; 5] = ["//! Before", "//! After", "Requires:", "Ensures:", "Does not:"];

/// The files of `src` that define a public function of their own name over a module: the passes.
fn passes() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.is_file());
    let named = files.map(|path| {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).expect("a source file"))
    });
    named.filter(|(name, text)| text.contains(&format!("pub fn {name}("))).collect()
}

/// The `//!` lines at the head of a file, as one line each.
fn head(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with("//!"));
    // A line may break between the words of a clause.
    lines.map(str::trim).collect::<Vec<_>>().join("\n").replace("Does\n//! not:", "Does not:")
}

#[test]
fn every_pass_states_its_contract() {
    let passes = passes();
    assert!(passes.len() >= 17, "only {} passes were found", passes.len());
    for (name, text) in &passes {
        let head = head(text);
        let purpose = head.lines().next().unwrap_or_default();
        assert!(purpose.len() > 20, "{name}: the first line says what the pass is for");
        for clause in CLAUSES {
            assert_eq!(head.matches(clause).count(), 1, "{name}: expected `{clause}` once in\n{head}");
        }
    }
}
