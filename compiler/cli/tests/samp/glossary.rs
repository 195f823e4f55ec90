//! What `docs/glossary.md` says where a thing is found is true.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::harness::root;

/// The text of a file, or of all files under a folder that are text.
fn text_under(path: &Path) -> String {
    if !path.is_dir() {
        return fs::read_to_string(path).unwrap_or_default();
    }
    let entries = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|entry| text_under(&entry)).collect()
}

/// Whether `name` stands in `text` as a word.
fn holds(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
}

/// What is wrong with a row's last cell, whose marked words are paths and, before `in` and a path, names that stand there.
fn faults(cell: &str) -> Vec<String> {
    let marked: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    let mut wrong = vec![];
    let mut names: Vec<&str> = vec![];
    for word in marked {
        if !word.contains('/') {
            names.push(word);
            continue;
        }
        let path: PathBuf = root().join(word);
        if !path.exists() {
            wrong.push(format!("{word} does not exist"));
            continue;
        }
        let text = if names.is_empty() { String::new() } else { text_under(&path) };
        wrong.extend(
            names.drain(..).filter(|name| !holds(&text, name)).map(|n| format!("{n} is not in {word}")),
        );
    }
    wrong.extend(names.into_iter().map(|name| format!("{name} stands in no path")));
    wrong
}

#[test]
fn everything_the_glossary_points_to_exists() {
    let page = fs::read_to_string(root().join("docs/glossary.md")).expect("docs/glossary.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| term "));
    let rows: Vec<&str> = rows.collect();
    assert!(rows.len() > 60, "only {} rows were read", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .flat_map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            let found = match cells.as_slice() {
                [_, _, place] if place.contains('`') => faults(place),
                _ => vec!["a row has a term, a meaning and a place".to_owned()],
            };
            found.into_iter().map(|fault| format!("{}: {fault}", cells[0].trim())).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_name_or_path_that_is_gone_is_noticed() {
    assert!(faults("`README.md`").iter().all(|f| f.contains("no path")), "a bare word is a name");
    assert_eq!(faults("`Layout` in `kernels/abi/src/layout.rs`"), Vec::<String>::new());
    assert_eq!(faults("`Layou` in `kernels/abi/src/layout.rs`").len(), 1);
    assert_eq!(faults("`kernels/abi/src/outlay.rs`").len(), 1);
}
