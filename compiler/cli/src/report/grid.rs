//! A table of the model: a row for each layer, a column for each place in a layer.

use super::{
    layer_names::{distinct, row_name, split_layer},
    markup::{Element, el},
    table::{row_head, scrolling},
};

/// A cell of [`grid`].
pub struct GridCell<'a> {
    /// The weight that it is of.
    pub name: &'a str,
    /// The cell itself.
    pub cell: Element,
}

/// A table with a row for each layer and a column for each place in a layer; what lies outside has rows of its own.
pub fn grid(caption: &str, cells: Vec<GridCell<'_>>) -> Element {
    let places = places(&cells);
    let rows = distinct(cells.iter().map(|cell| row_name(cell.name)));
    let head = ["layer"].iter().chain(&places).map(|name| el("th").attr("scope", "col").text(name));
    let mut table =
        el("table").class("grid").add(el("caption").text(caption)).add(el("thead").add(el("tr").all(head)));
    // What lies outside of layers stands in no place's column, nor widens one.
    let apart = |cell: &Element| {
        el("td").class("apart").attr("colspan", places.len().max(1)).add(cell.clone().named("div"))
    };
    let mut body = el("tbody");
    for row in rows {
        let mut line = el("tr").add(row_head(&row));
        let own: Vec<&GridCell<'_>> = cells.iter().filter(|cell| row_name(cell.name) == row).collect();
        let outside = own.iter().find(|cell| inside(cell.name).is_none());
        line = match outside {
            Some(outside) => line.add(apart(&outside.cell)),
            None => line.all(places.iter().map(|place| {
                let found = own.iter().find(|cell| inside(cell.name) == Some(place));
                found.map_or_else(|| el("td"), |found| found.cell.clone())
            })),
        };
        body = body.add(line);
    }
    table = table.add(body);
    scrolling(caption, table)
}

/// Every place, in the order of the layers. One that only later layers have stands before what follows it there, so that
/// the members of a weight that some layers split stand beside the whole one of others.
fn places<'a>(cells: &[GridCell<'a>]) -> Vec<&'a str> {
    let stands: Vec<_> = cells.iter().map(|cell| split_layer(cell.name)).collect();
    let mut places: Vec<&str> = vec![];
    for (index, (layer, place)) in stands.iter().enumerate().filter(|(_, (layer, _))| layer.is_some()) {
        if !places.contains(place) {
            let following = stands[index..].iter().take_while(|(of, _)| of == layer);
            let mut known = following.filter_map(|(_, name)| places.iter().position(|known| known == name));
            let at = known.next().unwrap_or(places.len());
            places.insert(at, *place);
        }
    }
    places
}

/// The place in a layer; `None` outside of layers.
fn inside(name: &str) -> Option<&str> {
    let (layer, place) = split_layer(name);
    layer.map(|_| place)
}

#[cfg(test)]
mod tests {
    use super::{GridCell, grid, places};
    use crate::report::markup::el;

    #[test]
    fn layers_are_rows_and_places_columns() {
        let cell = |name, text: &str| GridCell { name, cell: el("td").text(text) };
        let cells = vec![cell("embed", "e"), cell("layers.0.a", "0a"), cell("layers.1.b", "1b")];
        let shown = grid("g", cells).to_string();
        assert!(shown.contains(">layer 0</th><td>0a</td><td></td>"), "{shown}");
        assert!(shown.contains(">layer 1</th><td></td><td>1b</td>"), "{shown}");
        assert!(shown.contains(">embed</th><td class=\"apart\" colspan=\"2\"><div>e</div>"), "{shown}");
    }

    #[test]
    fn split_members_stand_beside_the_whole() {
        let names = ["layers.0.q", "layers.0.k", "layers.0.o", "layers.1.qk", "layers.1.o", "lm_head"];
        let cells: Vec<GridCell<'_>> = names.iter().map(|name| GridCell { name, cell: el("td") }).collect();
        assert_eq!(places(&cells), ["q", "k", "qk", "o"]);
    }
}
