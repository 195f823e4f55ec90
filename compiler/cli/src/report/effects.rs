//! What each quality pass did to the plan.

use super::{
    figures::short,
    markup::{Element, el},
    table::{
        Column::{Number, Text},
        cell, number, row, table,
    },
};
use samp_compiler::certificate::PassEffect;

/// The measured effects; `None` where none was measured.
pub fn effects(effects: &[PassEffect]) -> Option<Element> {
    let rows = effects.iter().map(|effect| {
        let figures = match &effect.error {
            Some(error) => [
                number(error.linears),
                number(format!("× {:.3}", error.mean)),
                number(format!("× {:.3}", error.worst)),
                cell(&error.worst_linear),
            ],
            None => [number("–"), number("–"), number("–"), cell("–")],
        };
        let moved = number(effect.logit_change.map_or("–".into(), short));
        row(&effect.pass, figures.into_iter().chain([moved]))
    });
    let columns = [
        Text("pass"),
        Number("linears"),
        Number("error of outputs"),
        Number("at worst"),
        Text("where"),
        Number("largest change of a logit"),
    ];
    let caption = "What each quality pass did to the squared error of outputs, on calibration tokens";
    let note = "Passes that keep the function are judged by what rounding to the nearest value would lose after them.";
    let shown = el("div").add(table(caption, &columns, rows)).add(el("p").text(note));
    (!effects.is_empty()).then_some(shown)
}
