//! What a compile has to say, as text and as one JSON document.

use std::{fmt, path::Path};

use samp_abi::{Format, TargetName};
use samp_passes::{Changed, KernelCandidate, Reason};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{failure::Finding, table::Table};
use samp_compiler::{
    certificate::{HeldOut, PassEffect, QualityEvidence, ShadowPrice, StratumQuality},
    compile::Calibrated,
    lower::{
        pipeline::{PhaseGraph, Trace},
        predict::DecodeStep,
        size::SizeTable,
    },
    quantize::search::CalibrationForecast,
};

/// What `samp compile --json` prints: a report for each target, of one as of several.
#[derive(Serialize, JsonSchema)]
pub struct Document<'a> {
    pub plans: Vec<Report<'a>>,
}

/// Result of a compile, of a dry run, or of lowering to some phase.
#[derive(Serialize, JsonSchema)]
pub struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<&'a Path>,
    pub target: TargetName,
    /// BLAKE3 of the manifest, in hex, once the plan is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Bytes of all files of the plan that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bits per weight over the decoder's linears, scales counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_bits_per_weight: Option<f64>,
    /// Absent when lowering stopped before memory was planned.
    #[serde(flatten)]
    pub cost: Option<Cost>,
    /// What a calibrated compile would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationForecast>,
    pub warnings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensors_resumed: Option<usize>,
    /// What the audit of a calibrated plan found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// What `--print-after` and `--stop-after` ask for.
    pub graphs: Vec<Graph>,
    /// What `--explain` asks for.
    #[serde(skip_serializing_if = "Option::is_none", rename = "explain")]
    pub trace: Option<Explained>,
    /// What `--explain` asks for where the formats were decided by measurements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decisions>,
}

impl<'a> Report<'a> {
    /// Nothing but where the plan goes, if anywhere.
    pub fn new(target: TargetName, plan: Option<&'a Path>) -> Report<'a> {
        Report {
            plan,
            target,
            digest: None,
            bytes: None,
            decoder_bits_per_weight: None,
            cost: None,
            calibration: None,
            warnings: vec![],
            tensors_resumed: None,
            held_out: None,
            graphs: vec![],
            trace: None,
            decided: None,
        }
    }
}

/// What a calibrated plan loses, for people.
pub fn audited(quality: &QualityEvidence) -> String {
    let mut table =
        Table::new(["held out", "records", "tokens", "KL (nats)", "at most", "perplexity", "at most"]);
    let grown = |ratio: f64| format!("{:+.3} %", 100.0 * (ratio - 1.0));
    let bound = |shown: Option<String>| shown.unwrap_or_else(|| "no bound".into());
    let mut row = |name: &str, q: &StratumQuality| {
        table.row([
            name.into(),
            q.records.to_string(),
            q.tokens.to_string(),
            format!("{:.6}", q.kl_nats),
            bound(q.kl_nats_at_most.map(|nats| format!("{nats:.6}"))),
            grown(q.perplexity_ratio),
            bound(q.perplexity_ratio_at_most.map(grown)),
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
#[derive(Serialize, JsonSchema)]
pub struct Cost {
    pub sizes: SizeTable,
    pub disk_bytes: u64,
    pub peak_memory_bytes: u64,
    /// Decode steps by the cost model.
    pub predicted: Vec<DecodeStep>,
}

/// The graph at a phase.
#[derive(Serialize, JsonSchema)]
pub struct Graph {
    pub phase: String,
    pub mlir: String,
}

impl From<PhaseGraph> for Graph {
    fn from(graph: PhaseGraph) -> Graph {
        Graph { phase: graph.phase.to_string(), mlir: graph.mlir }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "// {}\n{}", self.phase, self.mlir)
    }
}

/// Why each weight and the KV cache have their format, and what higher limits would buy.
#[derive(Serialize, JsonSchema)]
pub struct Decisions {
    formats: Vec<Chosen>,
    limits: Vec<ShadowPrice>,
}

#[derive(Serialize, JsonSchema)]
struct Chosen {
    /// The weight, or `KV cache`.
    key: String,
    format: Format,
    /// The cheapest larger format that loses less, if any.
    next: Option<Next>,
    #[serde(skip)]
    row: String,
}

#[derive(Serialize, JsonSchema)]
struct Next {
    format: Format,
    bytes_more: f64,
    nats_less: f64,
}

impl Decisions {
    /// Of the plan that was searched for.
    pub fn new(calibrated: &Calibrated) -> Decisions {
        let chosen = |reason: Reason| Chosen {
            row: reason.to_string(),
            key: reason.key,
            format: reason.format,
            next: reason.upgrade.map(|n| Next { format: n.format, bytes_more: n.bytes, nats_less: n.nats }),
        };
        let last = calibrated.evidence.rounds.last();
        Decisions {
            formats: calibrated.decision.reasons().into_iter().map(chosen).collect(),
            limits: last.map_or_else(Vec::new, |round| round.prices.clone()),
        }
    }
}

impl fmt::Display for Decisions {
    /// A row for each format, then a sentence for each limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.formats.iter().try_for_each(|chosen| writeln!(f, "{}", chosen.row))?;
        self.limits.iter().try_for_each(|limit| writeln!(f, "{}", limit.offer))
    }
}

/// What each pass changed and did, and why each kernel was chosen.
#[derive(Serialize, JsonSchema)]
pub struct Explained {
    passes: Vec<Pass>,
    kernels: Vec<Choice>,
}

#[derive(Serialize, JsonSchema)]
struct Pass {
    name: &'static str,
    places: usize,
    /// Of a quality pass that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<PassEffect>,
}

/// The candidates for one bucket of one op, the chosen one first.
#[derive(Serialize, JsonSchema)]
struct Choice {
    op: String,
    max_tokens: u64,
    candidates: Vec<Candidate>,
}

#[derive(Serialize, JsonSchema)]
struct Candidate {
    kernel: &'static str,
    nanos: f64,
    #[serde(skip)]
    time: String,
}

impl Explained {
    /// Of a calibrated compile with the effects that were measured.
    pub fn new(trace: &Trace, effects: &[PassEffect]) -> Explained {
        let effect = |name: &str| effects.iter().find(|effect| effect.pass == name).cloned();
        let pass = |&(name, Changed(places))| Pass { name, places, effect: effect(name) };
        let passes = trace.passes.iter().map(pass);
        let kernels = trace.explanations.iter().map(|e| Choice {
            op: e.label.clone(),
            max_tokens: e.max_tokens,
            candidates: (e.candidates.iter())
                .map(|&KernelCandidate { kernel, time }| Candidate {
                    kernel,
                    nanos: time.0,
                    time: time.to_string(),
                })
                .collect(),
        });
        Explained { passes: passes.collect(), kernels: kernels.collect() }
    }
}

impl fmt::Display for Explained {
    /// The passes, then a paragraph for each op: every bucket's choice before what lost against it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pass in &self.passes {
            let effect = pass.effect.as_ref().map_or_else(String::new, |effect| format!(", {effect}"));
            writeln!(f, "{}: {} places{effect}", pass.name, pass.places)?;
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
