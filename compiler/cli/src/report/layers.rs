//! Bytes and predicted time, layer by layer.

use samp_abi::plan::{OpKind, Plan};

use super::{
    ReportInputs,
    bars::{self, Piece, bar},
    figures::time,
    formats,
    layer_names::{distinct, row_name},
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
    let sums = names.iter().map(|name| {
        let own = || tensors.iter().filter(|t| row_name(&t.name) == *name);
        let of = |format| own().filter(|t| t.format == format).map(|t| t.bytes()).sum::<u64>();
        let weights: u64 = own().map(|t| t.weights()).sum();
        (name, formats.iter().map(|&format| (format, of(format))).collect::<Vec<_>>(), weights)
    });
    let sums: Vec<_> = sums.collect();
    let total = |pieces: &[(_, u64)]| pieces.iter().map(|p| p.1).sum::<u64>();
    let most = sums.iter().map(|(_, pieces, _)| total(pieces)).max().unwrap_or(0);
    let rows = sums.iter().map(|(name, pieces, weights)| {
        let drawn: Vec<Piece> = (pieces.iter().filter(|p| p.1 > 0))
            .map(|&(format, bytes)| Piece {
                class: formats::class(format),
                label: format!("{format} {}", Bytes(bytes)),
                value: bytes as f64,
            })
            .collect();
        let bytes = total(pieces);
        let bits = 8.0 * bytes as f64 / (*weights).max(1) as f64;
        let cells = [bar(&drawn, most as f64), number(Bytes(bytes)), number(format!("{bits:.3}"))];
        row(name, cells)
    });
    let columns = [Text("layer"), Text("by format"), Number("bytes"), Number("bits per weight")];
    section("bytes", "Bytes by layer", "Stored bytes with every scale, by format.")
        .add(formats::legend(&formats))
        .add(table("Bytes by layer", &columns, rows))
}

/// What an op's time is counted as.
const KINDS: [(&str, &str); 3] =
    [("k-linear", "linears"), ("k-attention", "attention"), ("k-other", "other")];

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
    let one = times(plan, 1)?;
    let many = times(plan, most_sequences)?;
    let sum = |parts: &[f64; 3]| parts.iter().sum::<f64>();
    let most = one.iter().map(|(_, parts)| sum(parts)).fold(0.0, f64::max);
    let rows = one.iter().zip(&many).map(|((name, parts), (_, at_most))| {
        let piece = |(&(class, kind), &value): (&(&str, &str), &f64)| Piece {
            class: class.into(),
            label: format!("{kind} {}", time(value)),
            value,
        };
        let drawn: Vec<Piece> = KINDS.iter().zip(parts).map(piece).collect();
        row(name, [bar(&drawn, most), number(time(sum(parts))), number(time(sum(at_most)))])
    });
    let context = predict::selection(plan).context;
    let note = format!(
        "Predicted by the cost model of the chosen kernels on {}, with {context} positions in the cache; not measured. \
         Bars show one sequence.",
        plan.target
    );
    let many = format!("{most_sequences} sequences");
    let columns = [Text("layer"), Text("by kind"), Number("1 sequence"), Number(&many)];
    Some(
        section("latency", "Decode time by layer", &note)
            .add(bars::legend(KINDS.map(|(class, name)| (class.into(), name.into()))))
            .add(table("Predicted decode time by layer", &columns, rows)),
    )
}

/// Nanoseconds of each layer, by kind.
fn times(plan: &Plan, tokens: u64) -> Option<Vec<(String, [f64; 3])>> {
    let mut rows: Vec<(String, [f64; 3])> = vec![];
    for step in &plan.program.steps {
        let name = row_name(&step.label);
        let nanos = predict::step_time(plan, step, tokens)?.0;
        let at = rows.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            rows.push((name, [0.0; 3]));
            rows.len() - 1
        });
        rows[at].1[kind(step.op.kind())] += nanos;
    }
    Some(rows)
}
