//! What tokens cost: the price of a machine's hour over the predicted throughput.

use super::{
    ReportInputs,
    figures::{amount, time},
    price::Price,
    section::{Section, section},
    table::{
        Column::{self, Number, Text},
        number, row, table,
    },
};
use samp_compiler::lower::predict;

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
            let prices = inputs.prices.iter().map(|price| number(price.of_million(rate)));
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
    format!(
        "Predicted by the cost model of the chosen kernels on {}, each query reading {context} positions; not measured. {}",
        inputs.plan.target,
        said_of_prices(inputs.prices)
    )
}

/// What a reader of prices is to know, or how to get some.
fn said_of_prices(prices: &[Price]) -> String {
    if prices.is_empty() {
        return "For the price of tokens, give what a machine costs an hour, such as --price-per-hour '2.50 EUR'.".into();
    }
    let unknown = prices.iter().any(|price| price.currency.is_none());
    let unit =
        " A price without a currency was given as a number alone: it is in whatever unit that number was in.";
    format!("Prices take the machine to be busy all the time.{}", if unknown { unit } else { "" })
}
