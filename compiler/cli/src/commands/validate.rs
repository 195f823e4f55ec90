//! `samp validate`: every check that can be made on a plan.

mod beside;
mod certificate;
mod finding;

use std::path::{Path, PathBuf};

use anyhow::Context;
use samp_abi::Cause;
use samp_runtime::{Engine, EngineError, EngineOptions, OpenPlan, PlanError, error_code::cause};
use schemars::JsonSchema;
use serde::Serialize;

use self::{
    beside::Beside,
    finding::{Entry, Finding},
};
use crate::{
    error_code,
    identity::IdentityArgs,
    output::{Outcome, in_line, print, print_json, say},
    plan_certificate,
};
use samp_compiler::{compile::device_on_cpu, emit::CERTIFICATE_FILE, import::check_text};

/// Check a plan completely: every byte, shape, binding and range, its tokenizer, and its golden probe
///
/// Exits with 1 if anything was found. Files in the plan's folder that its manifest does not name are listed; they make
/// a plan invalid with --strict alone.
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    /// Leave out running the golden probe on the CPU
    #[arg(long)]
    no_probe: bool,
    /// Measure the losses that the certificate bounds again, on --data against --against
    #[arg(long, requires_all = ["data", "against"])]
    certificate: bool,
    /// Records to measure on, as for `samp eval`; - is stdin
    #[arg(long, value_name = "FILE", requires = "certificate")]
    data: Option<PathBuf>,
    /// The unquantized checkpoint
    #[arg(long, value_name = "MODEL", requires = "certificate")]
    against: Option<PathBuf>,
    /// Count what lies in the folder without being named by the manifest as findings
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize, JsonSchema)]
pub struct Report<'a> {
    plan: &'a PathBuf,
    valid: bool,
    findings: Vec<Entry>,
    /// What lies in the folder without being named by the manifest; nothing reads it.
    unnamed: Vec<String>,
}

/// Validates and reports.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut beside = Beside::default();
    let mut found = match samp_runtime::open(&args.plan) {
        Ok(plan) => {
            beside = Beside::list(&plan);
            let differences = args.identity.differences(&plan)?;
            let identity = differences.iter().map(Finding::from).collect::<Vec<_>>();
            [identity, findings_of_sound(plan, args.no_probe)?].into_iter().flatten().collect()
        }
        Err(wrong_path) if wrong_path.is_wrong_path() => return Err(wrong_path.into()),
        Err(first) => findings_of_unsound(&args.plan, first)?,
    };
    if let (Some(data), Some(model), true) = (&args.data, &args.against, found.is_empty()) {
        found.extend(certificate::check(&args.plan, data, model)?);
    }
    if args.strict {
        found.extend(beside.findings());
    } else if let Some(problem) = beside.warning() {
        say(format_args!("warning: {}: {problem}", in_line(&args.plan)));
    }
    let valid = found.is_empty();
    let verdict = match found.len() {
        0 => "valid".into(),
        1 => "1 finding".into(),
        several => format!("{several} findings"),
    };
    let (mut lines, findings): (Vec<String>, Vec<Entry>) =
        found.into_iter().map(|f| (f.line, f.json)).unzip();
    if args.json {
        print_json(&Report { plan: &args.plan, valid, findings, unnamed: beside.entries })?;
    } else {
        if !args.strict {
            lines.extend(beside.lines());
        }
        lines.push(format!("{}: {verdict}", in_line(&args.plan)));
        print(&(lines.join("\n") + "\n"))?;
    }
    Ok(if valid { Outcome::Clean } else { Outcome::Findings })
}

/// All faults of a plan that does not open; `first` is the one that opening it met. What the machine refuses says nothing about
/// the plan, and is no finding.
fn findings_of_unsound(dir: &Path, first: PlanError) -> Result<Vec<Finding>, PlanError> {
    let mut faults = samp_runtime::validate(dir);
    if faults.is_empty() {
        faults.push(first);
    }
    let of_machine = |fault: &PlanError| cause(fault.code()) == Some(Cause::Environment);
    match faults.iter().find(|fault| of_machine(fault)) {
        Some(refusal) => Err(refusal.clone()),
        None => Ok(faults.iter().map(Finding::from).collect()),
    }
}

/// What can be wrong with a plan that opens: its tokenizer, its chat template, its certificate, its logits.
fn findings_of_sound(plan: OpenPlan, no_probe: bool) -> anyhow::Result<Vec<Finding>> {
    let mut findings = vec![];
    if let Err(refusal) = check_text(&|name| plan.file(name), plan.manifest().model.vocab_size) {
        let file = refusal.location.file.clone().unwrap_or_default();
        findings.push(Finding::new(error_code::TEXT, &file, refusal.message));
    }
    if let Err(refusal) = plan_certificate::read(&plan) {
        findings.push(Finding::new(refusal.finding.code, CERTIFICATE_FILE, refusal.finding.message));
    }
    if !no_probe && let Some(mismatch) = probe(plan)? {
        findings.push(Finding::new(error_code::GOLDEN_PROBE, "golden.json", mismatch));
    }
    Ok(findings)
}

/// Loads the plan where this machine can, on the CPU, with a cache for its golden probe alone, which then runs. Other
/// logits are a finding; whatever else keeps the plan from running says nothing about it.
fn probe(plan: OpenPlan) -> anyhow::Result<Option<String>> {
    let kv_tokens = plan.golden().map(|golden| golden.token_ids.len() as u64);
    let device = device_on_cpu(plan.manifest().target);
    match Engine::new(plan.into(), device, EngineOptions { kv_tokens, ..EngineOptions::default() }) {
        Ok(_) => Ok(None),
        Err(EngineError::Golden(mismatch)) => Ok(Some(mismatch.to_string())),
        Err(error) => Err(error).context("the golden probe cannot be run here; --no-probe leaves it out"),
    }
}
