//! Bytes and predicted time, layer by layer.

use samp_abi::{
    Format,
    plan::{OpKind, Plan, Tensor},
};

use super::{
    ReportInputs,
    bars::{self, LegendEntry, Segment, labelled_bar},
    figures::time,
    formats,
    layer_names::{distinct, is_layer, row_name},
    markup::Element,
    section::{Section, section},
    table::{
        Column::{Number, Text},
        number, row, table,
    },
};
use samp_compiler::lower::{predict, size::Bytes};

/// Bytes by layer, by format.
pub fn bytes(inputs: &ReportInputs<'_>) -> Section {
    let tensors = &inputs.plan.tensors;
    let formats = distinct(tensors.iter().map(|t| t.format));
    let names = distinct(tensors.iter().map(|t| row_name(&t.name)));
    let rows = names.into_iter().map(|name| LayerBytes::new(name, &formats, tensors));
    let (layers, outside) = rows.partition::<Vec<_>, _>(|row| is_layer(&row.name));
    section("bytes", "Bytes by layer", "Stored bytes with every scale, by format.")
        .add(formats::legend(&formats))
        .all(bytes_table("Bytes by layer", &layers))
        .all(bytes_table(&outside_of_layers("Bytes"), &outside))
}

/// What a table says that holds the embedding and the head: beside them, a layer's bar would be a stub.
fn outside_of_layers(what: &str) -> String {
    format!("{what} outside of the layers, with bars on a scale of their own")
}

/// The table of some rows, with bars on one scale; `None` of none.
fn bytes_table(caption: &str, layers: &[LayerBytes]) -> Option<Element> {
    let most = layers.iter().map(LayerBytes::sum).max()?;
    let rows = layers.iter().map(|layer| {
        let drawn: Vec<Segment> = (layer.formats.iter().filter(|stored| stored.bytes > 0))
            .map(|&FormatBytes { format, bytes }| Segment {
                class: formats::class(format),
                label: format!("{format} {}", Bytes(bytes)),
                value: bytes as f64,
            })
            .collect();
        let bytes = layer.sum();
        let bits = 8.0 * bytes as f64 / layer.weights.max(1) as f64;
        let cells = [labelled_bar(&drawn, most as f64), number(Bytes(bytes)), number(format!("{bits:.3}"))];
        row(&layer.name, cells)
    });
    let columns = [Text("part"), Text("by format"), Number("bytes"), Number("bits per weight")];
    Some(table(caption, &columns, rows))
}

/// What one layer stores.
struct LayerBytes {
    name: String,
    formats: Vec<FormatBytes>,
    weights: u64,
}

/// The bytes of a layer in one format.
struct FormatBytes {
    format: Format,
    bytes: u64,
}

impl LayerBytes {
    fn new(name: String, formats: &[Format], tensors: &[Tensor]) -> LayerBytes {
        let own = || tensors.iter().filter(|t| row_name(&t.name) == name);
        let bytes = |&format: &Format| FormatBytes {
            format,
            bytes: own().filter(|t| t.format == format).map(Tensor::bytes).sum(),
        };
        let (formats, weights) = (formats.iter().map(bytes).collect(), own().map(Tensor::weights).sum());
        LayerBytes { name, formats, weights }
    }

    fn sum(&self) -> u64 {
        self.formats.iter().map(|stored| stored.bytes).sum()
    }
}

/// What an op's time is counted as.
const KINDS: [TimeKind; 3] = [
    TimeKind { class: "k-linear", name: "linears" },
    TimeKind { class: "k-attention", name: "attention" },
    TimeKind { class: "k-other", name: "other" },
];

/// A kind of op with the class that colours its time.
struct TimeKind {
    class: &'static str,
    name: &'static str,
}

fn kind(op: OpKind) -> usize {
    match op {
        OpKind::Linear => 0,
        OpKind::PagedAttention => 1,
        _ => 2,
    }
}

/// Predicted time by layer; `None` where this build does not know the plan's kernels.
pub fn latency(inputs: &ReportInputs<'_>) -> Option<Section> {
    let plan = inputs.plan;
    let most_sequences = *predict::decode_batches(&plan.program, &plan.limits).last()?;
    let rows = times(plan, 1)?.into_iter().zip(times(plan, most_sequences)?);
    let (layers, outside) = rows.partition::<Vec<_>, _>(|(row, _)| is_layer(&row.name));
    let context = predict::selection(plan).context;
    let note = format!(
        "Predicted by the cost model of the chosen kernels on {}, with {context} positions in the cache; not measured. \
         Bars show one sequence.",
        plan.target
    );
    let kinds = KINDS.map(|kind| LegendEntry { class: kind.class.into(), name: kind.name.into() });
    Some(
        section("latency", "Decode time by layer", &note)
            .add(bars::legend(kinds))
            .all(time_table("Predicted decode time by layer", &layers, most_sequences))
            .all(time_table(&outside_of_layers("Predicted decode time"), &outside, most_sequences)),
    )
}

/// The table of some rows, each with its time for one sequence and for the most; `None` of none.
fn time_table(caption: &str, times: &[(LayerTime, LayerTime)], most_sequences: u64) -> Option<Element> {
    let most = times.iter().map(|(one, _)| one.sum()).reduce(f64::max)?;
    let rows = times.iter().map(|(one, at_most)| {
        let segments = KINDS.iter().zip(&one.nanos).map(|(kind, &value)| Segment {
            class: kind.class.into(),
            label: format!("{} {}", kind.name, time(value)),
            value,
        });
        let drawn: Vec<Segment> = segments.collect();
        row(&one.name, [labelled_bar(&drawn, most), number(time(one.sum())), number(time(at_most.sum()))])
    });
    let many = format!("{most_sequences} sequences");
    let columns = [Text("part"), Text("by kind"), Number("1 sequence"), Number(&many)];
    Some(table(caption, &columns, rows))
}

/// The predicted time of one layer.
struct LayerTime {
    name: String,
    /// Nanoseconds of each of the [`KINDS`].
    nanos: [f64; 3],
}

impl LayerTime {
    fn sum(&self) -> f64 {
        self.nanos.iter().sum()
    }
}

/// The time of each layer, in the order of the program.
fn times(plan: &Plan, tokens: u64) -> Option<Vec<LayerTime>> {
    let mut rows: Vec<LayerTime> = vec![];
    for step in &plan.program.steps {
        let name = row_name(&step.label);
        let nanos = predict::step_time(plan, step, tokens)?.0;
        let at = rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            rows.push(LayerTime { name, nanos: [0.0; 3] });
            rows.len() - 1
        });
        rows[at].nanos[kind(step.op.kind())] += nanos;
    }
    Some(rows)
}
