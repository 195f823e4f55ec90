//! `samp diff`: what two plans decide differently.

mod compare;
mod parted;
mod steps;

use std::path::{Path, PathBuf};

use samp_abi::plan::{MANIFEST_FILE, Plan};
use serde::Serialize;

use super::{Outcome, print, print_json};
use samp_compiler::lower::size::Bytes;

/// Compare two plans by what they decide: model, limits, formats, layouts, steps, kernels, memory
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
    let changes = compare::differences(&manifest(&args.plan_a)?, &manifest(&args.plan_b)?);
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

/// `+12.1 MB`, `−12.1 MB`.
fn signed(bytes: i128) -> String {
    let sign = if bytes < 0 { '−' } else { '+' };
    format!("{sign}{}", Bytes(bytes.unsigned_abs().min(u128::from(u64::MAX)) as u64))
}
