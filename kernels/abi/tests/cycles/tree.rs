//! The module tree of a crate, read from its sources: what each module defines, brings in and names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use super::tokens::paths_in;

/// Source texts by path: those of a crate on disk, or a made-up tree.
pub type Files = BTreeMap<PathBuf, String>;

/// Where a module stands: the crate's name, then the names of the modules.
pub type Key = Vec<String>;

/// One module outside tests.
#[derive(Default)]
pub struct Module {
    /// The file that its text stands in.
    pub file: PathBuf,
    /// Names of the items that it defines, modules left out.
    pub items: BTreeSet<String>,
    /// Names that `use` brings in, and the path that each stands for.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Paths that end in `::*`.
    pub globs: Vec<Vec<String>>,
    /// Paths that its text names: private imports, types, functions and constants. A `pub use` alone names nothing.
    pub named: BTreeSet<Vec<String>>,
}

/// Modules by where they stand.
pub type Modules = BTreeMap<Key, Module>;

/// Reads the crate called `name`, whose first file is `root`, into `modules`.
pub fn read_crate(modules: &mut Modules, files: &Files, name: &str, root: &Path) {
    let folder = root.parent().expect("a file in a folder");
    read_file(modules, files, &vec![name.to_owned()], root, folder);
}

/// Reads one file as the module at `key`; the files of its modules lie in `folder`.
fn read_file(modules: &mut Modules, files: &Files, key: &Key, path: &Path, folder: &Path) {
    let text = files.get(path).unwrap_or_else(|| panic!("{} is not among the files", path.display()));
    let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    read_items(modules, files, key, &Place { path, folder }, &parsed.items);
}

/// The file that is read, and the folder in which the files of its modules lie.
struct Place<'a> {
    path: &'a Path,
    folder: &'a Path,
}

fn read_items(modules: &mut Modules, files: &Files, key: &Key, place: &Place, items: &[syn::Item]) {
    let mut reader = Reader(Module { file: place.path.to_owned(), ..Module::default() });
    items.iter().for_each(|item| reader.visit_item(item));
    modules.insert(key.clone(), reader.0);
    for item in items {
        let syn::Item::Mod(child) = item else { continue };
        if !only_in_tests(&child.attrs) {
            read_child(modules, files, key, place, child);
        }
    }
}

/// A module of a module: in a file of its own, or written out between braces.
fn read_child(modules: &mut Modules, files: &Files, key: &Key, place: &Place, child: &syn::ItemMod) {
    let name = child.ident.to_string();
    let key = [key.as_slice(), std::slice::from_ref(&name)].concat();
    let folder = place.folder.join(&name);
    if let Some((_, items)) = &child.content {
        return read_items(modules, files, &key, &Place { path: place.path, folder: &folder }, items);
    }
    // A file that is said by its path is another crate's, and is read there.
    if child.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
        return;
    }
    let candidates = [place.folder.join(format!("{name}.rs")), folder.join("mod.rs")];
    let file = candidates.iter().find(|f| files.contains_key(*f));
    let file = file.unwrap_or_else(|| panic!("{}: no file holds mod {name}", place.path.display()));
    read_file(modules, files, &key, file, &folder);
}

/// Whether an item is compiled for tests alone.
fn only_in_tests(attributes: &[syn::Attribute]) -> bool {
    fn asks_for_test(meta: &syn::Meta) -> bool {
        let syn::Meta::List(list) = meta else { return meta.path().is_ident("test") };
        if list.path.is_ident("not") {
            return false;
        }
        let parser = syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated;
        list.parse_args_with(parser).is_ok_and(|inner| inner.iter().any(asks_for_test))
    }
    attributes.iter().any(|a| a.path().is_ident("cfg") && asks_for_test(&a.meta))
}

/// Collects what one module holds; the modules in it are read by themselves.
struct Reader(Module);

impl Reader {
    fn define(&mut self, item: &syn::Item) {
        let name = match item {
            syn::Item::Const(i) => &i.ident,
            syn::Item::Enum(i) => &i.ident,
            syn::Item::Fn(i) => &i.sig.ident,
            syn::Item::Static(i) => &i.ident,
            syn::Item::Struct(i) => &i.ident,
            syn::Item::Trait(i) => &i.ident,
            syn::Item::Type(i) => &i.ident,
            syn::Item::Union(i) => &i.ident,
            syn::Item::Macro(i) => match &i.ident {
                Some(name) => name,
                None => return,
            },
            _ => return,
        };
        self.0.items.insert(name.to_string());
    }

    fn bring_in(&mut self, tree: &syn::UseTree, before: &[String], exported: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.bring_in(&path.tree, &with(&path.ident), exported),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.bring_in(tree, before, exported));
            }
            syn::UseTree::Glob(_) => self.0.globs.push(before.to_vec()),
            syn::UseTree::Name(leaf) if leaf.ident == "self" => {
                self.alias(before.last().cloned().unwrap_or_default(), before.to_vec(), exported);
            }
            syn::UseTree::Name(leaf) => self.alias(leaf.ident.to_string(), with(&leaf.ident), exported),
            syn::UseTree::Rename(leaf) => self.alias(leaf.rename.to_string(), with(&leaf.ident), exported),
        }
    }

    fn alias(&mut self, name: String, path: Vec<String>, exported: bool) {
        if !exported {
            self.0.named.insert(path.clone());
        }
        self.0.aliases.insert(name, path);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if let syn::Item::Mod(_) = item {
            return;
        }
        if !only_in_tests(attributes(item)) {
            self.define(item);
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !only_in_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let exported = !matches!(item.vis, syn::Visibility::Inherited);
        self.bring_in(&item.tree, &[], exported);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.named.insert(path.segments.iter().map(|s| s.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.0.named.extend(paths_in(call.tokens.clone()));
        visit::visit_macro(self, call);
    }

    // A visibility and an attribute name no item.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(i) => &i.attrs,
        syn::Item::Enum(i) => &i.attrs,
        syn::Item::Fn(i) => &i.attrs,
        syn::Item::Impl(i) => &i.attrs,
        syn::Item::Macro(i) => &i.attrs,
        syn::Item::Static(i) => &i.attrs,
        syn::Item::Struct(i) => &i.attrs,
        syn::Item::Trait(i) => &i.attrs,
        syn::Item::Type(i) => &i.attrs,
        syn::Item::Use(i) => &i.attrs,
        _ => &[],
    }
}
