//! How uneven the inputs of each linear are.

use super::{
    ReportInputs,
    bars::{Segment, bar},
    section::{Section, section},
    table::{
        Column::{Number, Text},
        cell, number, row, table,
    },
};
use samp_compiler::certificate::{InputStatistics, WeightProfile};

/// Outlier channels that are named, of each linear.
const NAMED: usize = 12;

/// The inputs of every linear; `None` where no profile tells of them.
pub fn outliers(inputs: &ReportInputs<'_>) -> Option<Section> {
    let profile = &inputs.quality()?.profile;
    let seen: Vec<(&WeightProfile, &InputStatistics)> =
        profile.weights.iter().filter_map(|w| Some((w, w.inputs.as_ref()?))).collect();
    let most = seen.iter().map(|(_, inputs)| unevenness(inputs)).fold(0.0, f64::max);
    let rows = seen.iter().map(|(weight, inputs)| {
        let times = unevenness(inputs);
        let class = if inputs.outlier_channels.is_empty() { "k-linear" } else { "k-outlier" };
        let segment = Segment { class: class.into(), label: format!("{times:.2} times"), value: times };
        let cells = [
            bar(&[segment], most),
            number(format!("{times:.2}")),
            number(format!("{:.3}", inputs.rms)),
            number(format!("{:.3}", inputs.largest_channel_rms)),
            number(format!("{:.3}", inputs.absmax)),
            number(inputs.outlier_channels.len()),
            cell(named(&inputs.outlier_channels)),
        ];
        row(&weight.key, cells)
    });
    let columns = [
        Text("linear"),
        Text("largest channel over all"),
        Number("times"),
        Number("RMS"),
        Number("largest channel"),
        Number("largest value"),
        Number("outliers"),
        Text("which"),
    ];
    let note = "Root mean square of each linear's inputs over the calibration tokens. A channel is an outlier above \
                six times that of all channels.";
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then(|| {
        section("outliers", "Activation outliers", note).add(table("Inputs of each linear", &columns, rows))
    })
}

/// How many times that of all channels the largest channel's root mean square is.
fn unevenness(inputs: &InputStatistics) -> f64 {
    if inputs.rms > 0.0 { inputs.largest_channel_rms / inputs.rms } else { 0.0 }
}

fn named(channels: &[u64]) -> String {
    let mut names: Vec<String> = channels.iter().take(NAMED).map(u64::to_string).collect();
    names.extend((channels.len() > NAMED).then(|| "…".into()));
    if names.is_empty() { "–".into() } else { names.join(" ") }
}
