//! Formats with their colours and patterns.

use samp_abi::Format;

use super::{
    ReportInputs,
    bars::{self, LegendEntry},
    grid::{GridCell, grid},
    layer_names::distinct,
    markup::{Element, el},
    section::{Section, section},
};

/// The class that gives a format its colour and pattern.
pub fn class(format: Format) -> String {
    format!("f-{format}")
}

/// The formats of all matrices, with their colours and patterns.
pub fn legend(formats: &[Format]) -> Element {
    bars::legend(formats.iter().map(|&format| LegendEntry { class: class(format), name: format.to_string() }))
}

/// A format's name beside its colour and pattern.
pub fn swatch(format: Format) -> Element {
    bars::keyed(&class(format), format)
}

/// The format of every matrix, where no measurement is there to show more.
pub fn formats(inputs: &ReportInputs<'_>) -> Section {
    let matrices: Vec<_> = inputs.plan.tensors.iter().filter(|t| t.rows > 1).collect();
    let used = distinct(matrices.iter().map(|t| t.format));
    let cells = matrices.iter().map(|t| {
        let bits = 8.0 * t.bytes() as f64 / t.weights() as f64;
        let cell = el("td").add(swatch(t.format)).add(el("small").text(format!("{bits:.2} bits")));
        GridCell { name: &t.name, cell }
    });
    section("formats", "Formats", "Every weight's format, and the bits it takes with its scales.")
        .add(legend(&used))
        .add(grid("Formats by layer", cells.collect()))
}
