//! The sensitivity of every weight to every format, as measured.

use samp_abi::{Format, plan::Plan};

use super::{
    ReportInputs,
    figures::{nats, short},
    layer_names::{distinct, row_name, split_layer},
    markup::{Element, el},
    scale::LogScale,
    section::{Section, section},
    table::scrolling,
};
use samp_compiler::certificate::{Profile, Sensitivity};

/// Shades of the scale; the style sheet has as many.
const SHADES: usize = 9;
/// Losses so many times below the largest are all the faintest shade: what is next to nothing needs no telling apart.
const RANGE: f64 = 1e5;

/// The heat maps; `None` where nothing was measured.
pub fn heatmap(inputs: &ReportInputs<'_>) -> Option<Section> {
    let profile = &inputs.quality()?.profile;
    let all = || profile.weights.iter().flat_map(|w| &w.formats);
    let most = all().map(|s| s.divergence.nats).fold(0.0, f64::max);
    let told_apart = all().map(|s| s.divergence.nats).filter(|nats| *nats >= most / RANGE);
    let shades = LogScale::over(told_apart, 0.0, 1.0)?;
    let map = Map { plan: inputs.plan, profile, shades };
    let formats = distinct(all().map(|s| s.format));
    let shown: Vec<Option<Format>> = [None].into_iter().chain(formats.into_iter().map(Some)).collect();
    let switches = shown.iter().enumerate().flat_map(|(index, format)| switch(index, *format));
    let maps = shown
        .iter()
        .enumerate()
        .map(|(index, format)| el("div").class(format!("map map-{index}")).add(map.draw(*format)));
    let note = "Loss of the whole model, in nats per token, with only this weight in the format. \
                ≈ marks what was scaled from a measured format by its output error. An outline marks the chosen format.";
    let tabs = el("div").class("tabs").attr("role", "group").attr("aria-label", "Format shown");
    Some(
        section("sensitivity", "Sensitivity", note)
            .add(shade_legend(shades))
            .add(tabs.all(switches).all(maps)),
    )
}

/// A radio button with its label: which map is seen needs no script.
fn switch(index: usize, format: Option<Format>) -> [Element; 2] {
    let id = format!("map-{index}");
    let input = el("input").attr("type", "radio").attr("name", "map").attr("id", &id).class("switch");
    let input = if index == 0 { input.attr("checked", "checked") } else { input };
    let name = format.map_or("as chosen".into(), |f| f.to_string());
    [input, el("label").attr("for", id).text(name)]
}

/// A weight with what was measured of it.
#[derive(Clone, Copy)]
struct Measured<'a> {
    key: &'a str,
    formats: &'a [Sensitivity],
}

/// A cell of [`grid`].
pub struct GridCell<'a> {
    /// The weight that it is of.
    pub name: &'a str,
    /// The cell itself.
    pub cell: Element,
}

struct Map<'a> {
    plan: &'a Plan,
    profile: &'a Profile,
    shades: LogScale,
}

impl Map<'_> {
    /// The map of one format, or of each weight's own.
    fn draw(&self, format: Option<Format>) -> Element {
        let own = |key: &str| self.plan.tensors.iter().find(|t| t.name == key).map(|t| t.format);
        // A fused weight that the plan holds split is shown by its members.
        let shown = self.profile.weights.iter().flat_map(|weight| match own(&weight.key) {
            None if !weight.parts.is_empty() => weight
                .parts
                .iter()
                .map(|member| Measured { key: &member.key, formats: &member.formats })
                .collect(),
            _ => vec![Measured { key: &weight.key, formats: &weight.formats }],
        });
        let cells = shown.map(|measured| {
            let chosen = own(measured.key);
            GridCell { name: measured.key, cell: self.cell(measured, format.or(chosen), chosen) }
        });
        let caption = match format {
            Some(format) => format!("Loss with each weight in {format}, and the format chosen"),
            None => "Loss of each weight in the format chosen".into(),
        };
        grid(&caption, cells.collect())
    }

    fn cell(&self, measured: Measured<'_>, shown: Option<Format>, chosen: Option<Format>) -> Element {
        let Measured { key, formats } = measured;
        let known = formats.iter().find(|s| Some(s.format) == shown);
        let Some(Sensitivity { divergence, format, output_error }) = known else {
            return el("td").text("–").all(chosen.map(|f| el("small").text(f)));
        };
        let told = short(divergence.nats);
        let mark = if divergence.measured || told.starts_with('<') { "" } else { "≈ " };
        let title = format!(
            "{key} in {format}: {} nats per token, output error {}",
            nats(divergence.nats),
            short(*output_error)
        );
        let own = if chosen == shown { " own" } else { "" };
        el("td")
            .class(format!("h{}{own}", shade(self.shades, divergence.nats)))
            .attr("title", title)
            .text(format!("{mark}{told}"))
            .all(chosen.map(|f| el("small").text(f)))
    }
}

/// A shade from 0 to the last.
fn shade(scale: LogScale, value: f64) -> usize {
    ((scale.share(value) * SHADES as f64) as usize).min(SHADES - 1)
}

fn shade_legend(scale: LogScale) -> Element {
    let steps = (0..SHADES).map(|n| {
        let from = scale.value(n as f64 / SHADES as f64);
        let to = scale.value((n + 1) as f64 / SHADES as f64);
        el("span").class(format!("h{n}")).attr("title", format!("{} to {} nats", short(from), short(to)))
    });
    let ends = [scale.value(0.0), scale.value(1.0)].map(short);
    let label = format!("Colours from {} to {} nats per token, by logarithm", ends[0], ends[1]);
    let ramp = el("span").class("ramp").attr("role", "img").attr("aria-label", label).all(steps);
    el("p")
        .class("scale")
        .text(format!("up to {}", ends[0]))
        .add(ramp)
        .text(format!("{} nats per token", ends[1]))
}

/// A table with a row for each layer and a column for each place in a layer; what lies outside has rows of its own.
pub fn grid(caption: &str, cells: Vec<GridCell<'_>>) -> Element {
    let places = distinct(cells.iter().filter_map(|cell| inside(cell.name)));
    let rows = distinct(cells.iter().map(|cell| row_name(cell.name)));
    let head = ["layer"].iter().chain(&places).map(|name| el("th").attr("scope", "col").text(name));
    let mut table =
        el("table").class("grid").add(el("caption").text(caption)).add(el("thead").add(el("tr").all(head)));
    // A row outside of layers has one cell; the rest of it is one empty cell.
    let rest = (places.len() > 1).then(|| el("td").attr("colspan", places.len() - 1));
    let mut body = el("tbody");
    for row in rows {
        let mut line = el("tr").add(el("th").attr("scope", "row").text(&row));
        let own: Vec<&GridCell<'_>> = cells.iter().filter(|cell| row_name(cell.name) == row).collect();
        let outside = own.iter().find(|cell| inside(cell.name).is_none());
        line = match outside {
            Some(outside) => line.add(outside.cell.clone()).all(rest.clone()),
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

/// The place in a layer; `None` outside of layers.
fn inside(name: &str) -> Option<&str> {
    let (layer, place) = split_layer(name);
    layer.map(|_| place)
}

#[cfg(test)]
mod tests {
    use super::{GridCell, LogScale, SHADES, grid, shade};
    use crate::report::markup::el;

    #[test]
    fn shades_cover_the_scale() {
        let scale = LogScale::over([1e-6, 1e-3], 0.0, 1.0).unwrap();
        assert_eq!([0.0, 1e-6, 1e-3, 1.0].map(|v| shade(scale, v)), [0, 0, SHADES - 1, SHADES - 1]);
        assert_eq!(shade(scale, 3.2e-5), SHADES / 2);
    }

    #[test]
    fn layers_are_rows_and_places_columns() {
        let cell = |name, text: &str| GridCell { name, cell: el("td").text(text) };
        let cells = vec![cell("embed", "e"), cell("layers.0.a", "0a"), cell("layers.1.b", "1b")];
        let shown = grid("g", cells).to_string();
        assert!(shown.contains(">layer 0</th><td>0a</td><td></td>"), "{shown}");
        assert!(shown.contains(">layer 1</th><td></td><td>1b</td>"), "{shown}");
        assert!(shown.contains(">embed</th><td>e</td><td colspan=\"1\"></td>"), "{shown}");
    }
}
