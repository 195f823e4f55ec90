//! What tokens cost: the price of a machine's hour over the predicted throughput.

use std::str::FromStr;

use super::{
    ReportInputs,
    figures::{amount, time},
    section::{Section, section},
    table::{
        Column::{self, Number, Text},
        number, row, table,
    },
};
use samp_compiler::lower::predict;

/// What a machine costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Name, if it was given one.
    pub name: Option<String>,
    /// In any currency.
    pub per_hour: f64,
}

impl FromStr for Price {
    type Err = String;

    /// Reads `2.50` or `NAME=2.50`.
    fn from_str(text: &str) -> Result<Price, String> {
        let (name, price) = match text.rsplit_once('=') {
            Some((name, price)) => (Some(name.trim().to_owned()), price),
            None => (None, text),
        };
        let per_hour = price.trim().parse::<f64>().ok().filter(|p| p.is_finite() && *p > 0.0);
        let named = name.as_ref().is_none_or(|name| !name.is_empty());
        match per_hour.filter(|_| named) {
            Some(per_hour) => Ok(Price { name, per_hour }),
            None => Err(format!("expected a price above 0 such as 2.50 or NAME=2.50, found `{text}`")),
        }
    }
}

impl Price {
    fn heading(&self) -> String {
        let price = format!("at {} an hour", self.per_hour);
        let name = self.name.as_ref().map_or(String::new(), |name| format!("{name}: "));
        format!("{name}per million tokens {price}")
    }

    /// For a million tokens, at so many a second.
    fn of_million(&self, tokens_per_second: f64) -> f64 {
        self.per_hour / 3600.0 / tokens_per_second * 1e6
    }
}

/// The cost table; `None` where this build does not know the plan's kernels.
pub fn cost(inputs: &ReportInputs<'_>) -> Option<Section> {
    let plan = inputs.plan;
    let sequences =
        |n: u64| if n == 1 { "decode, 1 sequence".into() } else { format!("decode, {n} sequences") };
    let decode = predict::decode_batches(&plan.program, &plan.limits).into_iter().map(|n| (sequences(n), n));
    let prefill = plan.limits.max_tokens;
    let steps = decode.chain([(format!("prefill, {prefill} tokens"), prefill)]);
    let rows: Option<Vec<_>> = steps
        .map(|(name, tokens)| {
            let nanos = predict::program_time(plan, tokens)?.0;
            let rate = 1e9 * tokens as f64 / nanos;
            let prices = inputs.prices.iter().map(|price| number(amount(price.of_million(rate))));
            let cells = [number(time(nanos)), number(amount(rate))];
            Some(row(&name, cells.into_iter().chain(prices)))
        })
        .collect();
    let headings: Vec<String> = inputs.prices.iter().map(Price::heading).collect();
    let columns: Vec<Column<'_>> = [Text("step"), Number("time"), Number("tokens/s")]
        .into_iter()
        .chain(headings.iter().map(|heading| Number(heading)))
        .collect();
    Some(section("cost", "Throughput and cost", &note(inputs)).add(table(
        "Throughput and cost",
        &columns,
        rows?,
    )))
}

fn note(inputs: &ReportInputs<'_>) -> String {
    let context = predict::selection(inputs.plan).context;
    let missing = if inputs.prices.is_empty() {
        " For the price of tokens, give what a machine costs, such as --price-per-hour 2.50."
    } else {
        " The machine is taken to be busy all the time."
    };
    format!(
        "Predicted by the cost model of the chosen kernels on {}, each query reading {context} positions; not measured.{missing}",
        inputs.plan.target
    )
}

#[cfg(test)]
mod tests {
    use super::Price;

    #[test]
    fn prices_read_as_written() {
        let price = |text: &str| text.parse::<Price>();
        assert_eq!(price("2.50"), Ok(Price { name: None, per_hour: 2.5 }));
        assert_eq!(price("spot=1"), Ok(Price { name: Some("spot".into()), per_hour: 1.0 }));
        for wrong in ["", "x", "-1", "0", "nan", "inf", "=2", "a="] {
            assert!(price(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_million_tokens_at_a_thousand_a_second_take_a_thousand_seconds() {
        let price = Price { name: None, per_hour: 3.6 };
        assert!((price.of_million(1000.0) - 1.0).abs() < 1e-12);
    }
}
