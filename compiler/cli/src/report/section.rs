//! A section of the page: its anchor, its heading, a sentence on what it shows, and what it shows.

use super::markup::{Element, el};

/// A section of the page, to which elements are added.
pub struct Section {
    /// The name that links jump to.
    pub id: &'static str,
    /// The heading, and the text of links to it.
    pub title: &'static str,
    /// The element, with what it holds.
    pub body: Element,
}

/// A section with its heading and a sentence on what it shows.
pub fn section(id: &'static str, title: &'static str, note: &str) -> Section {
    let heading = format!("{id}-heading");
    let body = el("section")
        .attr("id", id)
        .attr("aria-labelledby", &heading)
        .add(el("h2").attr("id", heading).text(title))
        .add(el("p").class("note").text(note));
    Section { id, title, body }
}

impl Section {
    /// The section with an element more.
    pub fn add(self, child: Element) -> Section {
        Section { body: self.body.add(child), ..self }
    }

    /// The section with several elements more.
    pub fn all(self, children: impl IntoIterator<Item = Element>) -> Section {
        children.into_iter().fold(self, Section::add)
    }
}
