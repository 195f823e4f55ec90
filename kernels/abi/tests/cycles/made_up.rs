//! Made-up trees of modules: what must be found, and what must not.

use std::path::Path;

use super::{
    graph::{cycles, describe},
    resolve::{Arrows, arrows},
    tree::{Files, Modules, read_crate},
};

fn arrows_of(sources: &[(&str, &str)]) -> Arrows {
    let files: Files = sources.iter().map(|(path, text)| (path.into(), (*text).to_owned())).collect();
    let mut modules = Modules::new();
    read_crate(&mut modules, &files, "house", Path::new("src/lib.rs"));
    arrows(&modules)
}

fn names(arrows: &Arrows, from: &str, to: &str) -> Vec<String> {
    let found = arrows.get(Path::new(from)).and_then(|all| all.get(Path::new(to)));
    found.into_iter().flatten().cloned().collect()
}

#[test]
fn a_cycle_is_named_with_its_files_and_what_ties_it() {
    let arrows = arrows_of(&[
        ("src/lib.rs", "mod cook; mod pantry; mod guest;"),
        ("src/cook.rs", "use crate::pantry::Flour; pub fn bake(_: Flour) {}"),
        ("src/pantry.rs", "pub struct Flour; fn restock() { super::cook::bake(Flour) }"),
        ("src/guest.rs", "use super::cook::bake;"),
    ]);
    let found = cycles(&arrows);
    assert_eq!(found.len(), 1);
    let text = describe(&arrows, &found[0]);
    assert!(text.contains("src/cook.rs → src/pantry.rs: Flour"), "{text}");
    assert!(text.contains("src/pantry.rs → src/cook.rs: bake"), "{text}");
    assert!(!text.contains("guest"), "{text}");
}

#[test]
fn three_files_in_a_row_that_close_are_one_cycle() {
    let arrows = arrows_of(&[
        ("src/lib.rs", "mod a; mod b; mod c;"),
        ("src/a.rs", "pub struct A(crate::b::B);"),
        ("src/b.rs", "pub struct B(crate::c::C);"),
        ("src/c.rs", "pub type C = Box<crate::a::A>;"),
    ]);
    assert_eq!(cycles(&arrows).iter().map(|c| c.len()).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_module_that_only_declares_and_exports_its_children_is_no_cycle() {
    let arrows = arrows_of(&[
        ("src/lib.rs", "pub mod room;"),
        ("src/room/mod.rs", "mod chair; mod table; pub use chair::Chair; pub(crate) use table::*;"),
        ("src/room/chair.rs", "pub struct Chair;"),
        ("src/room/table.rs", "use super::Chair; pub struct Table(Chair);"),
    ]);
    assert_eq!(names(&arrows, "src/room/table.rs", "src/room/chair.rs"), ["Chair"]);
    assert!(cycles(&arrows).is_empty());
}

#[test]
fn a_module_that_uses_what_it_exports_and_is_used_by_it_is_a_cycle() {
    let arrows = arrows_of(&[
        ("src/lib.rs", "mod room;"),
        (
            "src/room/mod.rs",
            "mod chair; pub use chair::Chair; pub struct Size; fn sit() -> Chair { Chair::new() }",
        ),
        ("src/room/chair.rs", "pub struct Chair(super::Size);"),
    ]);
    assert_eq!(cycles(&arrows).len(), 1);
}

#[test]
fn renames_globs_and_names_of_modules_lead_to_the_defining_file() {
    let arrows = arrows_of(&[
        ("src/lib.rs", "mod a; mod b; mod c; mod door;"),
        ("src/door.rs", "pub use crate::a::First as Opened; pub use crate::b::*;"),
        ("src/a.rs", "pub struct First;"),
        ("src/b/mod.rs", "pub enum Second { One } pub mod b;"),
        ("src/b/b.rs", "pub fn b() {}"),
        (
            "src/c.rs",
            "use crate::{door::{self, Opened}, b::b::b}; fn f(_: Opened) { door::Second::One; b() }",
        ),
    ]);
    assert_eq!(names(&arrows, "src/c.rs", "src/a.rs"), ["First"]);
    assert_eq!(names(&arrows, "src/c.rs", "src/b/mod.rs"), ["Second"]);
    assert_eq!(names(&arrows, "src/c.rs", "src/b/b.rs"), ["b"]);
    assert!(names(&arrows, "src/c.rs", "src/door.rs").is_empty());
}

#[test]
fn paths_in_macros_count_and_tests_do_not() {
    let arrows = arrows_of(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "fn f() -> String { format!(\"{}\", crate::b::LIMIT) } pub fn g() {}"),
        (
            "src/b.rs",
            "pub const LIMIT: u32 = 3; #[cfg(test)] mod tests { use crate::a::g; } #[cfg(all(test, unix))] use crate::a::g;",
        ),
    ]);
    assert_eq!(names(&arrows, "src/a.rs", "src/b.rs"), ["LIMIT"]);
    assert!(cycles(&arrows).is_empty());
}

#[test]
fn modules_between_braces_and_below_files_are_found() {
    let arrows = arrows_of(&[
        ("src/lib.rs", "mod a; mod wide { pub mod deep; }"),
        ("src/a.rs", "mod below; pub fn f() { below::h() } pub struct Outer;"),
        ("src/a/below.rs", "pub fn h() { crate::wide::deep::g() }"),
        ("src/wide/deep.rs", "pub fn g() { let _ = crate::a::Outer; }"),
    ]);
    assert_eq!(cycles(&arrows).iter().map(|c| c.len()).collect::<Vec<_>>(), [3]);
}
