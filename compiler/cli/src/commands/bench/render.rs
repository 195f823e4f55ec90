//! The figures of a plan for people.

use samp_compiler::lower::size::Bytes;
use samp_runtime::bench::{
    BenchReport, DecodeReport, MachineReport, ProcessorLoad, Spread, StartReport, StartTimes,
};

use crate::table::Table;

/// All figures: what was done, then what the machine can do and did besides.
pub(super) fn render(report: &BenchReport) -> String {
    let BenchReport { device, threads, repeats, .. } = report;
    let times = if *repeats == 1 { "once".into() } else { format!("medians of {repeats} (least–largest)") };
    let mut out = format!("on {device}, {threads} threads, {times}\n\n{}\n", work(report));
    let mut line = |what: &str, said: String| out += &format!("{what:<20} {said}\n");
    if let Some(machine) = &report.machine {
        line("memory", memory(machine));
        for unit in &machine.arithmetic {
            let peak = number(unit.gflops, 0);
            let said = format!("{peak} GFLOP/s, of which the prompt is {}", percent(unit.prompt_part));
            line(unit.unit, said);
        }
    }
    for (what, said) in starts(&report.start) {
        line(what, said);
    }
    if let Some(peak) = report.peak_resident_bytes {
        line("peak resident memory", Bytes(peak).to_string());
    }
    if let Some(load) = &report.load {
        line("processors", processors(load));
    }
    out
}

/// A row for the prompt and for each way of decoding.
fn work(report: &BenchReport) -> Table {
    let mut table = Table::new(["", "tok/s", "", "ms a step", "weights read", "of memory", "busy"]);
    let prompt = &report.prompt;
    table.row([
        format!("prompt of {}", prompt.tokens),
        median(prompt.tokens_per_second, 1),
        range(prompt.tokens_per_second, 1),
        String::new(),
        format!("{:.0} GFLOP/s", prompt.gflops.median),
        String::new(),
        busy(prompt.busy_processors),
    ]);
    let generation = (format!("generate {}", report.generation.steps), &report.generation);
    let decode = report.decode.iter().map(|d| (format!("decode {} × {}", d.sequences, d.steps), d));
    for (name, decode) in [generation].into_iter().chain(decode) {
        let DecodeReport { tokens_per_second, step_ms, weight_gb_per_second, part_of_memory, .. } = decode;
        table.row([
            name,
            median(*tokens_per_second, 1),
            range(*tokens_per_second, 1),
            median(*step_ms, 2),
            format!("{:.1} GB/s", weight_gb_per_second.median),
            part_of_memory.map_or("–".into(), |part| format!("{:.0} %", 100.0 * part.median)),
            busy(decode.busy_processors),
        ]);
    }
    table
}

fn memory(machine: &MachineReport) -> String {
    format!("{} GB/s read, over {}", number(machine.memory_gb_per_second, 1), Bytes(machine.memory_bytes))
}

/// A line for each start.
fn starts(start: &StartReport) -> [(&'static str, String); 2] {
    let StartTimes { opened, ready, first_token } = start.warm;
    let warm = format!(
        "{}; open after {}, ready after {}",
        seconds(first_token),
        median_seconds(opened),
        median_seconds(ready)
    );
    let cold = match &start.cold {
        None => "–, since the plan's files do not leave memory here".into(),
        Some(cold) => format!(
            "{}; {:.2} × reading {} from storage, {}",
            seconds(cold.times.first_token),
            cold.first_token_per_read.median,
            Bytes(start.bytes),
            median_seconds(cold.read)
        ),
    };
    [("first token, warm", warm), ("first token, cold", cold)]
}

fn processors(load: &ProcessorLoad) -> String {
    let ProcessorLoad { processors, others, stolen } = load;
    let (others, stolen) = (number(*others, 2), number(*stolen, 2));
    format!("of {processors}, {others} busy with other processes, {stolen} taken by other machines")
}

fn median(spread: Spread, digits: usize) -> String {
    format!("{:.digits$}", spread.median)
}

/// The least and the largest, where there is more than one.
fn range(Spread { low, high, .. }: Spread, digits: usize) -> String {
    if low == high { String::new() } else { format!("{low:.digits$}–{high:.digits$}") }
}

fn number(spread: Spread, digits: usize) -> String {
    match range(spread, digits) {
        range if range.is_empty() => median(spread, digits),
        range => format!("{} ({range})", median(spread, digits)),
    }
}

/// Seconds, in milliseconds where they are less than one.
fn seconds(spread: Spread) -> String {
    let Spread { median, low, high } = spread;
    if median < 1.0 {
        format!("{} ms", number(Spread { median: 1e3 * median, low: 1e3 * low, high: 1e3 * high }, 1))
    } else {
        format!("{} s", number(spread, 2))
    }
}

fn median_seconds(spread: Spread) -> String {
    let median = spread.median;
    if median < 1.0 { format!("{:.1} ms", 1e3 * median) } else { format!("{median:.2} s") }
}

fn percent(part: Spread) -> String {
    let hundredfold = Spread { median: 100.0 * part.median, low: 100.0 * part.low, high: 100.0 * part.high };
    format!("{} %", number(hundredfold, 0))
}

fn busy(processors: Option<Spread>) -> String {
    processors.map_or("–".into(), |processors| median(processors, 2))
}
