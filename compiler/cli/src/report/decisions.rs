//! Every weight's format and why: what the next smaller and the next better one would change.

use samp_abi::Format;
use samp_passes::{Matrix, assignment::Resource};

use super::{
    ReportInputs,
    figures::{short, signed, signed_bytes},
    formats::swatch,
    front::{Front, matrices},
    markup::{Element, el},
    section::{Section, section},
    table::{
        Column::{Number, Text},
        cell, number, row, table,
    },
};
use samp_compiler::{certificate::Sensitivity, lower::size::Bytes};

/// The decision list.
pub fn decisions(inputs: &ReportInputs<'_>, front: Option<&Front>) -> Section {
    let counts = counts_outside(inputs);
    let rows = matrices(inputs.plan).into_iter().map(|matrix| {
        let tensor = inputs.plan.tensors.iter().find(|t| t.name == matrix.key);
        let profile = inputs.quality().map(|q| &q.profile);
        let known = profile.and_then(|p| {
            let outliers = p.weight_of(&matrix.key)?.outlier_columns().len();
            Some(Measured { formats: p.formats_of(&matrix.key)?, outliers })
        });
        let tensor = tensor.expect("the matrices are the plan's own");
        match (known, front) {
            (Some(known), Some(front)) => {
                let price = (counts || matrix.is_decoder_linear()).then_some(front.nats_per_byte);
                Decided::new(&matrix, known, tensor.format).row(price)
            }
            _ => row(&matrix.key, [el("td").add(swatch(tensor.format)), number(Bytes(tensor.bytes()))]),
        }
    });
    let Some(front) = front else {
        let note = "The recipe decides; without measurements there is nothing to weigh it against.";
        let columns = [Text("weight"), Text("format"), Number("bytes")];
        return section("decisions", "Decisions", note).add(table("Every weight's format", &columns, rows));
    };
    let columns = [
        Text("weight"),
        Text("format"),
        Number("bytes"),
        Number("loss alone"),
        Text("smaller option"),
        Text("better option"),
        Text("why this format"),
    ];
    section("decisions", "Decisions", &exchange(front)).all(taken_uniform(inputs)).add(table(
        "Every weight's format, and what others would change",
        &columns,
        rows,
    ))
}

/// How the formats were weighed, with what a round number of bytes near a hundredth of the plan would buy.
fn exchange(front: &Front) -> String {
    let bytes = 10f64.powi(front.chosen.bytes.max(1.0).log10().floor() as i32 - 2).max(1.0);
    let rate = if front.nats_per_byte > 0.0 {
        format!(
            "At the size of this plan, {} more would take away at most {} nats per token, spent where they help most. A \
             better format has to take away more than that for its bytes, and a smaller one may not add more for those it \
             saves.",
            Bytes(bytes as u64),
            short(bytes * front.nats_per_byte)
        )
    } else {
        "At the size of this plan, more bytes would take away no loss.".into()
    };
    format!(
        "Bytes go where they take away the most loss. {rate} \u{201c}Loss alone\u{201d} is what the whole model loses with \
         only this weight in its format, in nats per token, measured on calibration records."
    )
}

/// Whether what was asked for counts the bytes outside of the decoder, too.
fn counts_outside(inputs: &ReportInputs<'_>) -> bool {
    let limits = inputs.quality().and_then(|q| q.rounds.last()).map_or(&[][..], |round| &round.limits);
    let bits = Resource::BitsPerWeight.to_string();
    limits.is_empty() || limits.iter().any(|limit| !limit.starts_with(&bits))
}

/// Says so where the audit set the solution aside.
fn taken_uniform(inputs: &ReportInputs<'_>) -> Option<Element> {
    let quality = inputs.quality()?;
    let uniform = quality.best_uniform.as_ref()?;
    let own = inputs.plan.tensors.iter().filter(|t| t.is_decoder_linear());
    let taken = own.into_iter().all(|t| t.format == uniform.format)
        && uniform.kl_nats == quality.held_out.overall.kl_nats;
    let text = format!(
        "On held-out records, {0} for every linear lost less than the mix of formats that was solved for. This plan \
         therefore has {0} for every linear, whatever the reasons below say.",
        uniform.format
    );
    taken.then(|| el("p").text(text))
}

/// What was measured of a weight.
struct Measured<'a> {
    formats: &'a [Sensitivity],
    /// Columns that int8 with outliers keeps.
    outliers: usize,
}

/// A format with what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Priced {
    format: Format,
    bytes: f64,
    nats: f64,
}

/// A weight's format, and the formats that it might have had instead.
struct Decided<'a> {
    key: &'a str,
    own: Option<Priced>,
    chosen: Format,
    bytes: u64,
    /// The one that loses least for each byte saved.
    smaller: Option<Priced>,
    /// The one that wins most for each byte more.
    better: Option<Priced>,
}

impl Decided<'_> {
    fn new<'a>(matrix: &'a Matrix, measured: Measured<'_>, chosen: Format) -> Decided<'a> {
        let bytes = |format| matrix.bytes(format, measured.outliers);
        let priced = measured.formats.iter().map(|s| Priced {
            format: s.format,
            bytes: bytes(s.format) as f64,
            nats: s.divergence.nats.max(0.0),
        });
        let all: Vec<Priced> = priced.collect();
        let own = all.iter().find(|p| p.format == chosen).copied();
        let others = |wanted: &dyn Fn(&Priced, &Priced) -> bool| -> Vec<Priced> {
            own.map_or(vec![], |own| all.iter().copied().filter(|p| wanted(p, &own)).collect())
        };
        let smaller = others(&|p, own| p.bytes < own.bytes);
        let better = others(&|p, own| p.nats < own.nats);
        let rate = |p: &Priced| own.map_or(0.0, |own| per_byte(p, &own));
        Decided {
            key: &matrix.key,
            own,
            chosen,
            bytes: bytes(chosen),
            smaller: smaller.into_iter().min_by(|a, b| rate(a).total_cmp(&rate(b))),
            better: better.into_iter().max_by(|a, b| rate(a).total_cmp(&rate(b))),
        }
    }

    fn row(&self, price: Option<f64>) -> Element {
        let own = self.own.map_or("–".into(), |own| short(own.nats));
        let cells = [
            el("td").add(swatch(self.chosen)),
            number(Bytes(self.bytes)),
            number(own),
            self.change(self.smaller),
            self.change(self.better),
            cell(self.why(price)).class("prose"),
        ];
        row(self.key, cells)
    }

    fn change(&self, other: Option<Priced>) -> Element {
        let (Some(own), Some(other)) = (self.own, other) else { return cell("–") };
        let bytes = signed_bytes((other.bytes - own.bytes) as i128);
        el("td")
            .text(other.format)
            .add(el("small").text(format!("{bytes}, {} nats", signed(other.nats - own.nats))))
    }

    /// Why not smaller, and why not better, where a byte takes away `price` nats; `None` where no limit counts its bytes.
    fn why(&self, price: Option<f64>) -> String {
        let Some(own) = self.own else { return "This format was not measured.".into() };
        let Some(price) = price else {
            let better = self.better.map_or("No format that was tried loses less.".into(), |other| {
                format!("{} would lose less still.", other.format)
            });
            return format!("Its bytes count towards no limit that was asked for. {better}");
        };
        format!("{} {}", self.why_not_smaller(&own, price), self.why_not_better(&own, price))
    }

    fn why_not_smaller(&self, own: &Priced, price: f64) -> String {
        let Some(other) = self.smaller else { return "No smaller format was tried.".into() };
        let (format, saved) = (other.format, Bytes((own.bytes - other.bytes) as u64));
        if other.nats <= own.nats {
            return format!(
                "{format} is smaller and loses no more, so a limit other than bytes decided here."
            );
        }
        let added = short(other.nats - own.nats);
        if per_byte(&other, own) >= price {
            format!(
                "{format} would save {saved} but add {added} nats, more than those bytes take away elsewhere."
            )
        } else {
            format!(
                "{format} would save {saved} for only {added} nats, but no other weight has a use for just those bytes."
            )
        }
    }

    fn why_not_better(&self, own: &Priced, price: f64) -> String {
        let Some(other) = self.better else { return "No format that was tried loses less.".into() };
        let format = other.format;
        if other.bytes <= own.bytes {
            return format!(
                "{format} loses less in no more bytes, so a limit other than bytes decided here."
            );
        }
        let (more, away) = (Bytes((other.bytes - own.bytes) as u64), short(own.nats - other.nats));
        if per_byte(&other, own) <= price {
            format!(
                "{format} would take {more} more to remove {away} nats; elsewhere those bytes remove more."
            )
        } else {
            format!(
                "{format} would be worth the {more} more that it takes, but they no longer fit the limit."
            )
        }
    }
}

/// Nats that change against bytes that change the other way.
fn per_byte(a: &Priced, b: &Priced) -> f64 {
    let (bytes, nats) = (b.bytes - a.bytes, a.nats - b.nats);
    if bytes == 0.0 { f64::INFINITY } else { nats / bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(format: Format, bytes: f64, nats: f64) -> Priced {
        Priced { format, bytes, nats }
    }

    fn decided(smaller: Option<Priced>, better: Option<Priced>) -> Decided<'static> {
        let chosen = Format::Int8 { outliers: false };
        Decided { key: "w", own: Some(priced(chosen, 100.0, 1e-3)), chosen, bytes: 100, smaller, better }
    }

    #[test]
    fn reasons_follow_the_price_of_a_byte() {
        let (nf4, f16) = (priced(Format::Nf4, 50.0, 6e-3), priced(Format::F16, 200.0, 0.0));
        let both = decided(Some(nf4), Some(f16));
        assert_eq!(
            both.why(Some(5e-5)),
            "nf4 would save 50 B but add 5.0e−3 nats, more than those bytes take away elsewhere. f16 would take 100 B more \
             to remove 1.0e−3 nats; elsewhere those bytes remove more."
        );
        assert!(
            both.why(Some(1e-6)).ends_with(
                "f16 would be worth the 100 B more that it takes, but they no longer fit the limit."
            )
        );
        assert!(
            both.why(Some(1.0)).starts_with("nf4 would save 50 B for only 5.0e−3 nats, but no other weight")
        );
        assert_eq!(
            decided(None, None).why(Some(1.0)),
            "No smaller format was tried. No format that was tried loses less."
        );
        assert_eq!(
            both.why(None),
            "Its bytes count towards no limit that was asked for. f16 would lose less still."
        );
    }

    #[test]
    fn a_limit_other_than_bytes_is_named_as_the_reason() {
        let (nf4, fp4) = (priced(Format::Nf4, 50.0, 1e-3), priced(Format::Fp4, 100.0, 1e-4));
        let why = decided(Some(nf4), Some(fp4)).why(Some(1e-6));
        assert_eq!(why.matches("so a limit other than bytes decided here.").count(), 2, "{why}");
    }
}
