//! Stacked bars, one in each row of a table.

use super::markup::{Element, el};

/// A part of a bar.
pub struct Piece {
    /// The class that gives its colour.
    pub class: String,
    /// What it is, with its figure.
    pub label: String,
    /// How long.
    pub value: f64,
}

/// A cell with a bar; `most` is the value that fills the cell.
pub fn bar(pieces: &[Piece], most: f64) -> Element {
    let length = |piece: &Piece| 100.0 * piece.value / most;
    let drawn = pieces.iter().filter(|piece| piece.value > 0.0 && most > 0.0).map(|piece| {
        el("span")
            .class(&piece.class)
            .attr("style", format!("width:{:.3}%", length(piece)))
            .attr("title", &piece.label)
    });
    let labels: Vec<&str> = pieces.iter().map(|piece| piece.label.as_str()).collect();
    let bar = el("div").class("bar").attr("role", "img").attr("aria-label", labels.join(", ")).all(drawn);
    el("td").class("wide").add(bar)
}

/// What the colours mean.
pub fn legend(entries: impl IntoIterator<Item = (String, String)>) -> Element {
    let entry = |(class, name): (String, String)| {
        el("li").add(el("span").class(format!("key {class}")).attr("aria-hidden", "true")).text(name)
    };
    el("ul").class("legend").all(entries.into_iter().map(entry))
}

#[cfg(test)]
mod tests {
    use super::{Piece, bar};

    fn piece(label: &str, value: f64) -> Piece {
        Piece { class: "x".into(), label: label.into(), value }
    }

    #[test]
    fn pieces_are_as_long_as_their_share_of_the_most() {
        let shown = bar(&[piece("a", 1.0), piece("b", 0.0), piece("c", 2.0)], 4.0).to_string();
        assert!(shown.contains("width:25.000%") && shown.contains("width:50.000%"), "{shown}");
        assert_eq!(shown.matches("<span").count(), 2, "nothing is drawn for nothing");
        assert!(shown.contains("aria-label=\"a, b, c\""));
    }

    #[test]
    fn a_bar_of_nothing_is_empty() {
        assert!(!bar(&[piece("a", 0.0)], 0.0).to_string().contains("<span"));
    }
}
