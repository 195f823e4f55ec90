//! Every error code is declared once in the workspace, in the `error_code.rs` of its crate, is used and is explained.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::harness::root;

/// Crates whose diagnostics have codes.
const FOLDERS: [&str; 4] = ["compiler", "kernels", "passes", "runtime"];
/// The one file of a crate that may spell a code out.
const DECLARATIONS: &str = "error_code.rs";

/// Rust sources below `folder`, those of tests and benches left out.
pub fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "benches", "target", "fuzz"].contains(&name.as_str()) {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The codes that a text spells out, such as E0301, outside of comments and of its tests at the end.
fn codes(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    let is_code = |word: &&str| {
        word.len() == 5 && word.starts_with('E') && word[1..].bytes().all(|byte| byte.is_ascii_digit())
    };
    quoted.filter(is_code).map(str::to_owned).collect()
}

/// The name of the constant that a line of `error_codes!` declares.
fn declared(line: &str) -> Option<&str> {
    line.strip_prefix("    ")?.split_once(" = \"E").map(|(name, _)| name)
}

#[test]
fn every_error_code_is_declared_once_and_used() {
    let mut files = vec![];
    FOLDERS.iter().for_each(|folder| sources(&root().join(folder), &mut files));
    let texts: Vec<(&PathBuf, String)> =
        files.iter().map(|path| (path, fs::read_to_string(path).unwrap())).collect();
    let mut owners: BTreeMap<String, &Path> = BTreeMap::new();
    for (path, text) in &texts {
        let found = codes(text);
        if !path.ends_with(DECLARATIONS) {
            assert!(found.is_empty(), "{}: {found:?} belong into {DECLARATIONS}", path.display());
            continue;
        }
        for code in found {
            if let Some(other) = owners.insert(code.clone(), path) {
                panic!("{code} has two meanings: in {} and in {}", other.display(), path.display());
            }
        }
        let folder = path.parent().unwrap();
        for name in text.lines().filter_map(declared) {
            let used = format!("error_code::{name}");
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let uses = |(file, text): &(&PathBuf, String)| {
                file.starts_with(folder) && text.split(&used).skip(1).any(ends)
            };
            assert!(texts.iter().any(uses), "{}: nothing gives {name}", path.display());
        }
    }
    let table: Vec<&str> = samp_cli::error_table().iter().map(|entry| entry.code).collect();
    assert!(owners.keys().eq(table.iter()), "of {table:?}, these are declared: {:?}", owners.keys());
}

/// An error that is made of text alone has no code, and would end the command as a bug.
#[test]
fn the_command_makes_no_error_without_a_code() {
    let mut files = vec![];
    sources(&root().join("compiler/cli/src"), &mut files);
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for made in ["bail!(", "ensure!(", "anyhow!("] {
            assert!(!text.contains(made), "{}: give Failure::new a code instead of {made}", path.display());
        }
    }
}

#[test]
fn every_error_code_has_a_title_an_explanation_and_a_remedy_in_sentences() {
    for entry in samp_cli::error_table() {
        let well_formed = entry.code.len() == 5 && entry.code[1..].bytes().all(|b| b.is_ascii_digit());
        assert!(well_formed && entry.code.starts_with('E'), "{}", entry.code);
        assert!(!entry.title.ends_with('.') && entry.title.len() < 100, "{}: {}", entry.code, entry.title);
        for text in [entry.explanation, entry.remedy] {
            assert!(
                text.ends_with('.') && text.len() >= 10 && !text.contains("  "),
                "{}: {text}",
                entry.code
            );
        }
    }
}

/// `docs/errors.md` is what the tables say. `SAMP_UPDATE_SCHEMAS=1` writes it anew.
#[test]
fn the_page_of_errors_says_what_the_tables_say() {
    let path = root().join("docs/errors.md");
    let page = samp_cli::errors_page();
    if std::env::var_os("SAMP_UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(published == page, "run this test with SAMP_UPDATE_SCHEMAS=1 and review docs/errors.md");
}

#[test]
fn a_code_that_is_spelled_out_is_found_but_not_in_comments_or_tests() {
    let text = "fn f() { g(\"E0999\") }\n// \"E0998\"\nlet x = (\"E09\", \"EXYZW\");\n#[cfg(test)]\nmod t { \"E0997\" }";
    assert_eq!(codes(text), ["E0999"]);
    assert_eq!(declared("    IO = \"E0720\", Environment, \"A file\","), Some("IO"));
}
