//! Cycles among files: files that each reach all others by arrows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::resolve::Arrows;

/// The cycles, each with its files in order.
pub fn cycles(arrows: &Arrows) -> Vec<BTreeSet<PathBuf>> {
    let reach: BTreeMap<&Path, BTreeSet<&Path>> =
        arrows.keys().map(|file| (file.as_path(), reached(arrows, file))).collect();
    let mut found = BTreeSet::new();
    for (file, ahead) in &reach {
        let back = |other: &&&Path| reach.get(**other).is_some_and(|theirs| theirs.contains(file));
        let cycle: BTreeSet<PathBuf> = ahead.iter().filter(back).map(|&f| f.to_owned()).collect();
        if cycle.len() > 1 {
            found.insert(cycle);
        }
    }
    found.into_iter().collect()
}

/// The files that arrows lead to from a file, by any number of steps.
fn reached<'a>(arrows: &'a Arrows, from: &Path) -> BTreeSet<&'a Path> {
    let (mut seen, mut queue) = (BTreeSet::new(), vec![from]);
    while let Some(file) = queue.pop() {
        for next in arrows.get(file).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(next.as_path()) {
                queue.push(next);
            }
        }
    }
    seen
}

/// A cycle in words: each arrow in it, and the names that tie it.
pub fn describe(arrows: &Arrows, cycle: &BTreeSet<PathBuf>) -> String {
    let mut text = format!("a cycle of {} files:\n", cycle.len());
    for from in cycle {
        for (to, names) in arrows[from].iter().filter(|(to, _)| cycle.contains(*to)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            writeln!(text, "  {} → {}: {}", from.display(), to.display(), names.join(", "))
                .expect("a string");
        }
    }
    text
}
