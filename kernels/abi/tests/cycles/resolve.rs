//! Which file defines what a path names, re-exports followed to the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::tree::{Key, Modules};

/// Arrows from file to file, each with the names that the first takes from the second.
pub type Arrows = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// More steps than any chain of re-exports takes; imports that name each other end here.
const MOST_STEPS: usize = 24;

/// What a path leads to.
enum Found<'a> {
    Module(Key),
    Item { file: &'a Path, name: String },
}

/// The arrows that the modules' texts draw. A path that leads to a module alone, or out of the workspace, draws none.
pub fn arrows(modules: &Modules) -> Arrows {
    let mut arrows = Arrows::new();
    for (key, module) in modules {
        for path in &module.named {
            let Some(Found::Item { file, name }) = resolve(modules, key, path, 0) else { continue };
            if file != module.file {
                let from = arrows.entry(module.file.clone()).or_default();
                from.entry(file.to_owned()).or_default().insert(name);
            }
        }
    }
    arrows
}

/// Follows a path as written in the module at `from`.
fn resolve<'a>(modules: &'a Modules, from: &[String], path: &[String], steps: usize) -> Option<Found<'a>> {
    if steps > MOST_STEPS {
        return None;
    }
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => descend(modules, &from[..1], rest, steps),
        "self" => descend(modules, from, rest, steps),
        "super" => descend(modules, parent(from), rest, steps),
        _ => lookup(modules, from, path, steps)
            .or_else(|| descend(modules, std::slice::from_ref(first), rest, steps)),
    }
}

fn parent(at: &[String]) -> &[String] {
    &at[..at.len().saturating_sub(1)]
}

/// Follows what is left of a path in the module at `at`.
fn descend<'a>(modules: &'a Modules, at: &[String], path: &[String], steps: usize) -> Option<Found<'a>> {
    match path.first().map(String::as_str) {
        None => Some(Found::Module(at.to_vec())),
        Some("self") => descend(modules, at, &path[1..], steps),
        Some("super") => descend(modules, parent(at), &path[1..], steps),
        Some(_) => lookup(modules, at, path, steps),
    }
}

/// Finds the first name of a path in a module. A last name that is an item and a module's too is the item.
fn lookup<'a>(modules: &'a Modules, at: &[String], path: &[String], steps: usize) -> Option<Found<'a>> {
    let module = modules.get(at)?;
    let (first, rest) = path.split_first()?;
    let child = [at, std::slice::from_ref(first)].concat();
    let in_child =
        || modules.contains_key(&child).then(|| descend(modules, &child, rest, steps + 1)).flatten();
    if !rest.is_empty()
        && let Some(found) = in_child()
    {
        return Some(found);
    }
    if module.items.contains(first) {
        return Some(Found::Item { file: &module.file, name: first.clone() });
    }
    let aliased = || {
        let alias = module.aliases.get(first)?;
        resolve(modules, at, &[alias.as_slice(), rest].concat(), steps + 1)
    };
    let through_globs = || {
        let into = |glob: &Vec<String>| match resolve(modules, at, glob, steps + 1)? {
            Found::Module(key) if key != at => lookup(modules, &key, path, steps + 1),
            _ => None,
        };
        module.globs.iter().find_map(into)
    };
    aliased().or_else(in_child).or_else(through_globs)
}
