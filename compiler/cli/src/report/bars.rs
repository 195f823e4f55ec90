//! Stacked bars, one in each row of a table.

use super::markup::{Element, el};

/// One stretch of a stacked bar.
pub struct Segment {
    /// The class that gives its colour.
    pub class: String,
    /// What it is, with its figure.
    pub label: String,
    /// Its length, in the unit of the whole bar.
    pub value: f64,
}

/// A cell with a bar; `most` is the value that fills the cell.
pub fn bar(segments: &[Segment], most: f64) -> Element {
    let length = |segment: &Segment| 100.0 * segment.value / most;
    let drawn = segments.iter().filter(|segment| segment.value > 0.0 && most > 0.0).map(|segment| {
        el("span")
            .class(&segment.class)
            .attr("style", format!("width:{:.3}%", length(segment)))
            .attr("title", &segment.label)
    });
    let labels: Vec<&str> = segments.iter().map(|segment| segment.label.as_str()).collect();
    let bar = el("div").class("bar").attr("role", "img").attr("aria-label", labels.join(", ")).all(drawn);
    el("td").class("wide").add(bar)
}

/// A cell with a bar and, beneath it, what each stretch is: told by its name beside its colour and pattern.
pub fn labelled_bar(segments: &[Segment], most: f64) -> Element {
    let named = segments.iter().filter(|segment| segment.value > 0.0);
    let named = named.map(|segment| keyed(&segment.class, &segment.label));
    bar(segments, most).add(el("small").class("parts").attr("aria-hidden", "true").all(named))
}

/// A name beside its colour and pattern.
pub fn keyed(class: &str, name: impl std::fmt::Display) -> Element {
    let key = el("span").class(format!("key {class}")).attr("aria-hidden", "true");
    el("span").class("swatch").add(key).text(name)
}

/// A colour with what it means.
pub struct LegendEntry {
    /// The class that gives the colour.
    pub class: String,
    /// What is drawn in it.
    pub name: String,
}

/// What the colours mean.
pub fn legend(entries: impl IntoIterator<Item = LegendEntry>) -> Element {
    let entry = |LegendEntry { class, name }: LegendEntry| el("li").add(keyed(&class, name));
    el("ul").class("legend").all(entries.into_iter().map(entry))
}

#[cfg(test)]
mod tests {
    use super::{Segment, bar, labelled_bar};

    fn segment(label: &str, value: f64) -> Segment {
        Segment { class: "x".into(), label: label.into(), value }
    }

    #[test]
    fn segments_are_as_long_as_their_share_of_the_most() {
        let shown = bar(&[segment("a", 1.0), segment("b", 0.0), segment("c", 2.0)], 4.0).to_string();
        assert!(shown.contains("width:25.000%") && shown.contains("width:50.000%"), "{shown}");
        assert_eq!(shown.matches("<span").count(), 2, "nothing is drawn for nothing");
        assert!(shown.contains("aria-label=\"a, b, c\""));
    }

    #[test]
    fn what_a_bar_is_made_of_can_be_read() {
        let shown = labelled_bar(&[segment("nf4 2 MB", 1.0), segment("f16", 0.0)], 4.0).to_string();
        let named =
            "<span class=\"swatch\"><span class=\"key x\" aria-hidden=\"true\"></span>nf4 2 MB</span>";
        assert!(shown.contains(named), "{shown}");
        assert_eq!(shown.matches("class=\"swatch\"").count(), 1, "nothing is named that is not drawn");
    }

    #[test]
    fn a_bar_of_nothing_is_empty() {
        assert!(!bar(&[segment("a", 0.0)], 0.0).to_string().contains("<span"));
    }
}
