//! `samp validate`: every check that can be made on a plan.

use std::path::PathBuf;

use anyhow::Context;
use samp_runtime::{DeviceKind, Engine, EngineOptions};
use serde::Serialize;

use super::{Outcome, print, print_json};

/// Check a plan completely: every byte, shape, binding and range, and its golden probe
///
/// Exits with 1 if anything was found.
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    /// Leave out running the golden probe on the CPU
    #[arg(long)]
    no_probe: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    plan: &'a PathBuf,
    valid: bool,
    findings: Vec<serde_json::Value>,
}

/// Validates and reports.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if !args.plan.is_dir() {
        anyhow::bail!("{}: expected a plan directory, found none", args.plan.display());
    }
    let found = samp_runtime::validate(&args.plan);
    let mut lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    let mut findings: Vec<serde_json::Value> = found
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<_, _>>()
        .context("findings are plain data")?;
    if findings.is_empty()
        && !args.no_probe
        && let Err(message) = probe(args)
    {
        findings
            .push(serde_json::json!({ "code": "golden_probe", "file": "golden.json", "problem": message }));
        lines.push(format!("golden.json: {message}"));
    }
    let valid = findings.is_empty();
    if args.json {
        print_json(&Report { plan: &args.plan, valid, findings })?;
    } else {
        let verdict = if valid { "valid".into() } else { format!("{} findings", lines.len()) };
        lines.push(format!("{}: {verdict}", args.plan.display()));
        print(&(lines.join("\n") + "\n"))?;
    }
    Ok(if valid { Outcome::Clean } else { Outcome::Findings })
}

/// Loads the plan on the CPU, which runs its golden probe.
fn probe(args: &Args) -> Result<(), String> {
    let plan = samp_runtime::open(&args.plan).map_err(|e| e.to_string())?;
    let options = EngineOptions { self_test: true, ..EngineOptions::default() };
    Engine::new(plan.into(), DeviceKind::Cpu, options).map(drop).map_err(|e| e.to_string())
}
