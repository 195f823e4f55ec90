//! What a compile has to say, as text and as one JSON document.

use std::{fmt, path::Path};

use samp_abi::TargetName;
use samp_ir::Diagnostic;
use samp_passes::Changed;
use serde::Serialize;

use super::Args;
use crate::{
    cli::table::Table,
    emit::{Held, Quality, StratumQuality},
    pipeline::Trace,
    size::SizeTable,
};

/// Result of a compile, of a dry run, or of lowering to some phase.
#[derive(Serialize)]
pub struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<&'a Path>,
    pub target: TargetName,
    /// Absent when lowering stopped before memory was planned.
    #[serde(flatten)]
    pub cost: Option<Cost>,
    pub warnings: &'a [Diagnostic],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensors_resumed: Option<usize>,
    /// What the audit of a calibrated plan found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<&'a Held>,
    /// What `--print-after` and `--stop-after` ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub graphs: Vec<Graph>,
    /// What `--explain` asks for.
    #[serde(skip_serializing_if = "Option::is_none", rename = "explain")]
    pub trace: Option<Explained>,
}

impl<'a> Report<'a> {
    pub fn new(args: &'a Args) -> Report<'a> {
        Report {
            plan: args.output.as_deref().filter(|_| args.stop_after.is_none()),
            target: args.target,
            cost: None,
            warnings: &[],
            tensors_resumed: None,
            held_out: None,
            graphs: vec![],
            trace: None,
        }
    }
}

/// What a calibrated plan loses, for people.
pub fn audited(quality: &Quality) -> String {
    let mut table =
        Table::new(["held out", "records", "tokens", "KL (nats)", "at most", "perplexity", "at most"]);
    let grown = |ratio: f64| format!("{:+.3} %", 100.0 * (ratio - 1.0));
    let mut row = |name: &str, q: &StratumQuality| {
        table.row([
            name.into(),
            q.records.to_string(),
            q.tokens.to_string(),
            format!("{:.6}", q.kl_nats),
            format!("{:.6}", q.kl_nats_at_most),
            grown(q.perplexity_ratio),
            grown(q.perplexity_ratio_at_most),
        ]);
    };
    quality.held_out.strata.iter().for_each(|(name, q)| row(name, q));
    row("overall", &quality.held_out.overall);
    let uniform = quality.best_uniform.as_ref().map_or_else(String::new, |uniform| {
        format!("; uniform {}, the best of no greater size, loses {:.6}", uniform.format, uniform.kl_nats)
    });
    format!("{table}at most: one-sided 95 %, over records{uniform}\n")
}

/// What the plan takes.
#[derive(Serialize)]
pub struct Cost {
    pub sizes: SizeTable,
    pub disk_bytes: u64,
    pub peak_memory_bytes: u64,
}

/// The graph at a phase.
#[derive(Serialize)]
pub struct Graph {
    pub phase: String,
    pub mlir: String,
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "// {}\n{}", self.phase, self.mlir)
    }
}

/// What each pass changed, and why each kernel was chosen.
#[derive(Serialize)]
pub struct Explained {
    passes: Vec<Pass>,
    kernels: Vec<Choice>,
}

#[derive(Serialize)]
struct Pass {
    name: &'static str,
    places: usize,
}

/// The candidates for one bucket of one op, the chosen one first.
#[derive(Serialize)]
struct Choice {
    op: String,
    max_tokens: u64,
    candidates: Vec<Candidate>,
}

#[derive(Serialize)]
struct Candidate {
    kernel: &'static str,
    nanos: f64,
    #[serde(skip)]
    time: String,
}

impl Explained {
    pub fn of(trace: &Trace) -> Explained {
        let passes = trace.passes.iter().map(|&(name, Changed(places))| Pass { name, places });
        let kernels = trace.explanations.iter().map(|e| Choice {
            op: e.label.clone(),
            max_tokens: e.max_tokens,
            candidates: (e.candidates.iter())
                .map(|&(kernel, time)| Candidate { kernel, nanos: time.0, time: time.to_string() })
                .collect(),
        });
        Explained { passes: passes.collect(), kernels: kernels.collect() }
    }
}

impl fmt::Display for Explained {
    /// The passes, then a paragraph for each op: every bucket's choice before what lost against it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pass in &self.passes {
            writeln!(f, "{}: {} places", pass.name, pass.places)?;
        }
        let mut op = "";
        for choice in &self.kernels {
            if choice.op != op {
                op = &choice.op;
                writeln!(f, "{op}")?;
            }
            let shown: Vec<String> =
                choice.candidates.iter().map(|c| format!("{} {}", c.kernel, c.time)).collect();
            writeln!(f, "  up to {:>6} tokens: {}", choice.max_tokens, shown.join("  >  "))?;
        }
        Ok(())
    }
}
