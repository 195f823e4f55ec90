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

/// What may be wider or much longer than the page, in a region of its own that shows where more is and that the keyboard
/// can scroll.
pub fn scrolling(label: &str, inside: Element) -> Element {
    let region = el("div").class("scroll").attr("role", "region").attr("tabindex", 0);
    let region = region.attr("aria-label", format!("{label} (scrolls)")).add(inside);
    el("div").class("frame").add(region)
}

/// A row that begins with its name.
pub fn row(name: &str, cells: impl IntoIterator<Item = Element>) -> Element {
    el("tr").add(row_head(name)).all(cells)
}

/// The name of a row, which may break after a dot or an underscore.
pub fn row_head(name: &str) -> Element {
    let pieces = name.split_inclusive(['.', '_']).enumerate();
    pieces.fold(el("th").attr("scope", "row"), |head, (index, piece)| {
        if index == 0 { head.text(piece) } else { head.add(el("wbr")).text(piece) }
    })
}

/// A cell of text.
pub fn cell(text: impl std::fmt::Display) -> Element {
    el("td").text(text)
}

/// A cell with a number.
pub fn number(text: impl std::fmt::Display) -> Element {
    cell(text).class("n")
}
