//! HTML elements as values. Text and attributes are escaped where they enter, so that no name in a plan can become markup.

use std::fmt::{self, Display, Write};

/// An element with its attributes and what is inside.
#[derive(Clone, Debug)]
pub struct Element {
    name: &'static str,
    attributes: String,
    inner: String,
}

/// Elements that end a line, so that the page can be read and compared as text.
const LINES: [&str; 12] =
    ["head", "title", "style", "header", "nav", "section", "h2", "p", "div", "table", "tr", "svg"];
/// Elements that have no inside and no end tag.
const EMPTY: [&str; 3] = ["meta", "input", "wbr"];

/// An empty element.
pub fn el(name: &'static str) -> Element {
    Element { name, attributes: String::new(), inner: String::new() }
}

impl Element {
    /// Adds an attribute.
    pub fn attr(mut self, name: &'static str, value: impl Display) -> Element {
        write!(self.attributes, " {name}=\"{}\"", Escaped(&value.to_string())).expect("strings take all");
        self
    }

    /// Adds the `class` attribute.
    pub fn class(self, value: impl Display) -> Element {
        self.attr("class", value)
    }

    /// Adds text, which is escaped.
    pub fn text(mut self, text: impl Display) -> Element {
        write!(self.inner, "{}", Escaped(&text.to_string())).expect("strings take all");
        self
    }

    /// Adds an element.
    pub fn add(mut self, child: Element) -> Element {
        write!(self.inner, "{child}").expect("strings take all");
        self
    }

    /// Adds several elements in their order.
    pub fn all(self, children: impl IntoIterator<Item = Element>) -> Element {
        children.into_iter().fold(self, Element::add)
    }

    /// The same with another name.
    pub fn named(self, name: &'static str) -> Element {
        Element { name, ..self }
    }

    /// Adds text that is part of this program and stands in the page as it is, such as a style sheet.
    pub fn verbatim(mut self, text: &'static str) -> Element {
        self.inner.push_str(text);
        self
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Element { name, attributes, inner } = self;
        write!(f, "<{name}{attributes}>")?;
        if !EMPTY.contains(name) {
            write!(f, "{inner}</{name}>")?;
        }
        if LINES.contains(name) { f.write_str("\n") } else { Ok(()) }
    }
}

struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::el;

    #[test]
    fn text_and_attributes_cannot_become_markup() {
        let hostile = "</p><script>alert('1')</script>\" onload=\"x&";
        let shown = el("p").attr("title", hostile).text(hostile).to_string();
        let safe = "&lt;/p&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot; onload=&quot;x&amp;";
        assert_eq!(shown, format!("<p title=\"{safe}\">{safe}</p>\n"));
    }

    #[test]
    fn elements_nest_and_empty_ones_have_no_end() {
        let shown = el("label").add(el("input").attr("id", 1)).text("a").to_string();
        assert_eq!(shown, "<label><input id=\"1\">a</label>");
    }
}
