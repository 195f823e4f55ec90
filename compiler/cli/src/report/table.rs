//! Tables that scroll by themselves where they are wider than the page.

use super::markup::{Element, el};

/// A column of a table, with its heading.
#[derive(Clone, Copy)]
pub enum Column<'a> {
    /// Of text or charts.
    Text(&'a str),
    /// Of numbers, which are set to the right.
    Number(&'a str),
}

/// A table with a caption.
pub fn table(caption: &str, columns: &[Column<'_>], rows: impl IntoIterator<Item = Element>) -> Element {
    let head = columns.iter().map(|column| match column {
        Column::Text(name) => el("th").attr("scope", "col").text(name),
        Column::Number(name) => el("th").attr("scope", "col").class("n").text(name),
    });
    let table = el("table")
        .add(el("caption").text(caption))
        .add(el("thead").add(el("tr").all(head)))
        .add(el("tbody").all(rows));
    scrolling(caption, table)
}

/// What may be wider or much longer than the page, in a container of its own that the keyboard can scroll.
pub fn scrolling(label: &str, inside: Element) -> Element {
    el("div").class("scroll").attr("role", "group").attr("tabindex", 0).attr("aria-label", label).add(inside)
}

/// A row that begins with its name, which may break after a dot.
pub fn row(name: &str, cells: impl IntoIterator<Item = Element>) -> Element {
    let pieces = name.split_inclusive('.').enumerate();
    let head = pieces.fold(el("th").attr("scope", "row"), |head, (index, piece)| {
        if index == 0 { head.text(piece) } else { head.add(el("wbr")).text(piece) }
    });
    el("tr").add(head).all(cells)
}

/// A cell of text.
pub fn cell(text: impl std::fmt::Display) -> Element {
    el("td").text(text)
}

/// A cell with a number.
pub fn number(text: impl std::fmt::Display) -> Element {
    cell(text).class("n")
}
