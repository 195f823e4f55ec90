//! `samp diff`: what two plans decide differently.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use samp_abi::plan::{MANIFEST_FILE, Plan, Step, Tensor};
use serde::Serialize;

use super::{Outcome, print, print_json};
use crate::size::Bytes;

/// Compare two plans by what they decide: formats, layouts, kernels, limits, memory
///
/// Exits with 1 if they differ.
#[derive(clap::Args)]
pub struct Args {
    /// The first plan directory
    plan_a: PathBuf,
    /// The second plan directory
    plan_b: PathBuf,
    /// Print the differences as JSON
    #[arg(long)]
    json: bool,
}

/// One difference: what is said of, and what each plan says.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    subject: String,
    what: String,
    a: String,
    b: String,
    /// Bytes of the second plan less those of the first, where bytes are what changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<i128>,
}

impl Change {
    fn new(subject: &str, what: &str, a: impl ToString, b: impl ToString) -> Change {
        Change { subject: subject.into(), what: what.into(), a: a.to_string(), b: b.to_string(), bytes: None }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.what.is_empty() { String::new() } else { format!("{} ", self.what) };
        write!(f, "{} {what}{}→{}", self.subject, self.a, self.b)?;
        match self.bytes {
            Some(bytes) => write!(f, ", {}", signed(bytes)),
            None => Ok(()),
        }
    }
}

/// Compares and reports.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let changes = differences(&manifest(&args.plan_a)?, &manifest(&args.plan_b)?);
    if args.json {
        print_json(&changes)?;
    } else {
        let lines: Vec<String> = changes.iter().map(|change| format!("{change}\n")).collect();
        let text = lines.concat();
        print(if text.is_empty() { "the plans decide the same\n" } else { &text })?;
    }
    Ok(if changes.is_empty() { Outcome::Clean } else { Outcome::Findings })
}

fn manifest(dir: &Path) -> anyhow::Result<Plan> {
    let path = dir.join(MANIFEST_FILE);
    let bytes =
        std::fs::read(&path).map_err(|e| anyhow::anyhow!("{} cannot be read: {e}", path.display()))?;
    Ok(samp_abi::plan::unseal(&bytes, |b| blake3::hash(b).to_string())?)
}

fn differences(a: &Plan, b: &Plan) -> Vec<Change> {
    let mut changes = vec![];
    let mut compare = |subject: &str, x: String, y: String| {
        if x != y {
            changes.push(Change::new(subject, "", x, y));
        }
    };
    compare("target", a.target.to_string(), b.target.to_string());
    compare("architecture", format!("{:?}", a.model.architecture), format!("{:?}", b.model.architecture));
    compare("layers", a.model.layers.to_string(), b.model.layers.to_string());
    compare("hidden size", a.model.hidden_size.to_string(), b.model.hidden_size.to_string());
    compare("KV cache", a.kv.format.to_string(), b.kv.format.to_string());
    compare("tokens a step", a.limits.max_tokens.to_string(), b.limits.max_tokens.to_string());
    compare("sequences", a.limits.max_sequences.to_string(), b.limits.max_sequences.to_string());
    compare("context", a.limits.max_context.to_string(), b.limits.max_context.to_string());
    changes.extend(tensor_changes(a, b));
    changes.extend(kernel_changes(a, b));
    for (what, x, y) in [
        ("weights", a.memory.weights_bytes, b.memory.weights_bytes),
        ("activation arena", a.memory.arena_bytes, b.memory.arena_bytes),
    ] {
        if x != y {
            let change = Change::new(what, "", Bytes(x), Bytes(y));
            changes.push(Change { bytes: Some(i128::from(y) - i128::from(x)), ..change });
        }
    }
    changes
}

fn tensor_changes(a: &Plan, b: &Plan) -> Vec<Change> {
    let by_name = |plan| -> BTreeMap<&str, &Tensor> {
        let plan: &Plan = plan;
        plan.tensors.iter().map(|t| (t.name.as_str(), t)).collect()
    };
    let (in_a, in_b) = (by_name(a), by_name(b));
    let mut changes = vec![];
    for tensor in &a.tensors {
        let Some(other) = in_b.get(tensor.name.as_str()) else {
            changes.push(Change::new(&tensor.name, "", tensor.format, "absent"));
            continue;
        };
        let bytes = i128::from(other.bytes()) - i128::from(tensor.bytes());
        if tensor.format != other.format {
            let change = Change::new(&tensor.name, "", tensor.format, other.format);
            changes.push(Change { bytes: Some(bytes), ..change });
        } else if tensor.layout != other.layout {
            changes.push(Change::new(&tensor.name, "layout", tensor.layout, other.layout));
        } else if stored(tensor) != stored(other) {
            changes.push(Change::new(&tensor.name, "values", "one set", "another"));
        }
    }
    let added = b.tensors.iter().filter(|t| !in_a.contains_key(t.name.as_str()));
    changes.extend(added.map(|t| Change::new(&t.name, "", "absent", t.format)));
    changes
}

fn stored(tensor: &Tensor) -> Vec<&str> {
    tensor.parts.iter().map(|p| p.blake3.as_str()).collect()
}

/// Kernels that differ for a reason of their own: same step, same formats.
fn kernel_changes(a: &Plan, b: &Plan) -> Vec<Change> {
    let steps: BTreeMap<&str, &Step> = b.program.steps.iter().map(|s| (s.label.as_str(), s)).collect();
    let format = |plan: &Plan, step: &Step| -> Vec<samp_abi::Format> {
        step.op.tensors().iter().map(|t| plan.tensors[t.0 as usize].format).collect()
    };
    let pairs = a.program.steps.iter().filter_map(|s| Some((s, *steps.get(s.label.as_str())?)));
    let same_formats = pairs.filter(|(s, t)| format(a, s) == format(b, t));
    let changed = same_formats.flat_map(|(s, t)| {
        s.kernels.iter().zip(&t.kernels).filter(|(x, y)| x != y).map(|(x, y)| {
            let what = format!("kernel for up to {} tokens", x.max_tokens);
            Change::new(&s.label, &what, &x.kernel, &y.kernel)
        })
    });
    changed.collect()
}

/// `+12.1 MB`, `−12.1 MB`.
fn signed(bytes: i128) -> String {
    let sign = if bytes < 0 { '−' } else { '+' };
    format!("{sign}{}", Bytes(bytes.unsigned_abs().min(u128::from(u64::MAX)) as u64))
}
