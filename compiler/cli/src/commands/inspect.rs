//! `samp inspect`: what is in a plan.

use std::{collections::BTreeMap, path::PathBuf};

use samp_abi::plan::Plan;
use samp_runtime::OpenPlan;
use serde::Serialize;

use crate::{
    error_code,
    failure::Failure,
    identity::IdentityArgs,
    output::{Outcome, print, print_json},
    report::split_layer,
    table::Table,
};
use samp_compiler::lower::size::Bytes;

/// Show a plan: sizes, formats of each layer, bits per weight, memory, program
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Print the planned graph
    #[arg(long, conflicts_with_all = ["program", "json"])]
    mlir: bool,
    /// List every step with its buffers and kernels
    #[arg(long, conflicts_with = "json")]
    program: bool,
    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
}

/// Prints what was asked for.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let opened = samp_runtime::open(&args.plan)?;
    args.identity.require(&opened)?;
    let plan = opened.manifest();
    if args.mlir {
        let text = opened.file("plan.mlir").ok_or_else(|| {
            Failure::new(error_code::NO_GRAPH, "this plan carries no plan.mlir")
                .hint("compile the model again")
        })?;
        print(&String::from_utf8_lossy(text))?;
    } else if args.program {
        print(&program(plan))?;
    } else if args.json {
        print_json(&Summary::new(&opened)?)?;
    } else {
        print(&overview(plan))?;
    }
    Ok(Outcome::Clean)
}

/// The numbers of a plan, for scripts.
#[derive(Serialize, schemars::JsonSchema)]
pub struct Summary<'a> {
    name: Option<&'a str>,
    /// BLAKE3 of the manifest, in hex.
    digest: &'a str,
    schema: String,
    target: &'a str,
    recipe: &'a str,
    decoder_bits_per_weight: Option<f64>,
    /// Bytes of all files of the plan.
    disk_bytes: u64,
    weights_bytes: u64,
    arena_bytes: u64,
    kv_format: &'a str,
    kv_bytes_per_token: u64,
    steps: usize,
    tensors: Vec<TensorSummary<'a>>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub struct TensorSummary<'a> {
    name: &'a str,
    format: &'a str,
    layout: &'a str,
    shape: [u64; 2],
    bytes: u64,
}

impl Summary<'_> {
    fn new(opened: &OpenPlan) -> anyhow::Result<Summary<'_>> {
        let plan = opened.manifest();
        let listed =
            plan.weights.iter().map(|file| file.bytes).chain(plan.files.iter().map(|file| file.bytes));
        let disk_bytes = listed.sum::<u64>() + opened.manifest_bytes()?.len() as u64;
        let tensors = plan.tensors.iter().map(|t| TensorSummary {
            name: &t.name,
            format: t.format.name(),
            layout: t.layout.name(),
            shape: [t.rows, t.cols],
            bytes: t.bytes(),
        });
        Ok(Summary {
            name: plan.provenance.name.as_deref(),
            digest: opened.digest(),
            schema: plan.schema.to_string(),
            target: plan.target.name(),
            recipe: plan.provenance.recipe.as_str(),
            decoder_bits_per_weight: plan.decoder_bits_per_weight(),
            disk_bytes,
            weights_bytes: plan.memory.weights_bytes,
            arena_bytes: plan.memory.arena_bytes,
            kv_format: plan.kv.format.name(),
            kv_bytes_per_token: plan.memory.kv_bytes_per_token,
            steps: plan.program.steps.len(),
            tensors: tensors.collect(),
        })
    }
}

fn overview(plan: &Plan) -> String {
    let (m, limits) = (&plan.model, &plan.limits);
    let name = plan.provenance.name.as_deref().map_or(String::new(), |name| format!("{name}\n"));
    let mut out = format!(
        "{name}{:?}: {} layers, hidden {}, MLP {}, {} heads ({} KV) of {}, vocabulary {}\n",
        m.architecture,
        m.layers,
        m.hidden_size,
        m.intermediate_size,
        m.heads,
        m.kv_heads,
        m.head_dim,
        m.vocab_size
    );
    let recipe = plan.provenance.recipe.lines().next().unwrap_or_default();
    out += &format!(
        "target {}, recipe {recipe}, schema {}, {}\ndigest blake3:{}\n\n",
        plan.target, plan.schema, plan.provenance.tool, plan.digest
    );
    out += &layers(plan);
    let bits = plan.decoder_bits_per_weight().map_or("–".into(), |b| format!("{b:.3}"));
    out += &format!("\nbits per weight    {bits} over the decoder's linears, all scales counted\n");
    out += &format!("weights            {}\n", Bytes(plan.memory.weights_bytes));
    out += &format!(
        "activation arena   {} for up to {} tokens a step\n",
        Bytes(plan.memory.arena_bytes),
        limits.max_tokens
    );
    let per_token = plan.memory.kv_bytes_per_token;
    out += &format!(
        "KV cache           {} a token in {}; {} for {} sequences of {}\n",
        Bytes(per_token),
        plan.kv.format,
        Bytes(per_token.saturating_mul(limits.max_sequences).saturating_mul(limits.max_context)),
        limits.max_sequences,
        limits.max_context
    );
    let buckets: Vec<String> = plan.program.buckets.iter().map(u64::to_string).collect();
    out += &format!(
        "program            {} steps, {} buffers, token buckets {}\n",
        plan.program.steps.len(),
        plan.program.buffers.len(),
        buckets.join(" ")
    );
    out
}

/// One row for each tensor's place in a layer; layers whose row is the same are drawn together.
fn layers(plan: &Plan) -> String {
    #[derive(Default)]
    struct Stored {
        layers: Vec<u64>,
        bytes: u64,
        weights: u64,
    }
    let mut places: BTreeMap<(&str, &str), Stored> = BTreeMap::new();
    let mut order: Vec<(&str, &str)> = vec![];
    for tensor in plan.tensors.iter().filter(|t| t.rows > 1) {
        let (layer, place) = split_layer(&tensor.name);
        let key = (place, tensor.format.name());
        let entry = places.entry(key).or_insert_with(|| {
            order.push(key);
            Stored::default()
        });
        entry.layers.extend(layer);
        entry.bytes += tensor.bytes();
        entry.weights += tensor.weights();
    }
    let mut table = Table::new(["tensor", "layers", "format", "bits/weight", "bytes"]);
    for key in order {
        let Stored { layers, bytes, weights } = &places[&key];
        let bits = 8.0 * *bytes as f64 / *weights as f64;
        table.row([
            key.0.into(),
            ranges(layers),
            key.1.into(),
            format!("{bits:.3}"),
            Bytes(*bytes).to_string(),
        ]);
    }
    table.to_string()
}

/// `0–3 7 9–12`; empty without any.
fn ranges(sorted: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = vec![];
    for &n in sorted {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => runs.push((n, n)),
        }
    }
    let text = runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}–{b}") });
    text.collect::<Vec<_>>().join(" ")
}

fn program(plan: &Plan) -> String {
    let mut out = String::new();
    for (index, step) in plan.program.steps.iter().enumerate() {
        let list = |ids: Vec<samp_abi::plan::BufferId>| {
            ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        out += &format!(
            "{index:>4}  {:<40} {:<16} {} <- {}\n",
            step.label,
            step.op.kind(),
            list(step.op.writes()),
            list(step.op.reads())
        );
        let mut kernels: Vec<(String, &str)> = vec![];
        for choice in &step.kernels {
            match kernels.last_mut() {
                Some((bound, kernel)) if *kernel == choice.kernel => *bound = choice.max_tokens.to_string(),
                _ => kernels.push((choice.max_tokens.to_string(), &choice.kernel)),
            }
        }
        for (bound, kernel) in kernels {
            out += &format!("      up to {bound} tokens: {kernel}\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn neighbouring_layers_are_drawn_together() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0–2 5 7–8");
        assert_eq!(ranges(&[]), "");
    }
}
