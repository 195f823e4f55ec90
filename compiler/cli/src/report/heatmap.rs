//! The sensitivity of every weight to every format, as measured.

use samp_abi::{Format, plan::Plan};

use super::{
    ReportInputs,
    figures::{nats, short},
    formats::{legend, swatch},
    grid::{GridCell, grid},
    layer_names::distinct,
    markup::{Element, el},
    scale::LogScale,
    section::{Section, section},
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
                Beneath each loss stands the format chosen. An outline marks where that is the format shown. \
                ≈ marks a loss that was scaled from a measured format by its output error.";
    let tabs = el("div").class("tabs").attr("role", "group").attr("aria-label", "Format shown");
    let chosen = distinct(inputs.plan.tensors.iter().filter(|t| t.rows > 1).map(|t| t.format));
    Some(
        section("sensitivity", "Sensitivity", note)
            .add(shade_legend(shades))
            .add(legend(&chosen))
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
            return el("td").text("–").all(chosen.map(|f| el("small").add(swatch(f))));
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
            .all(chosen.map(|f| el("small").add(swatch(f))))
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

#[cfg(test)]
mod tests {
    use super::{LogScale, SHADES, shade};

    #[test]
    fn shades_cover_the_scale() {
        let scale = LogScale::over([1e-6, 1e-3], 0.0, 1.0).unwrap();
        assert_eq!([0.0, 1e-6, 1e-3, 1.0].map(|v| shade(scale, v)), [0, 0, SHADES - 1, SHADES - 1]);
        assert_eq!(shade(scale, 3.2e-5), SHADES / 2);
    }
}
