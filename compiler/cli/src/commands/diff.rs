//! `samp diff`: what two plans decide differently.

mod change;
mod compare;
mod split_weights;
mod steps;

pub use self::change::Change;

use std::path::{Path, PathBuf};

use anyhow::Context;
use samp_abi::plan::{MANIFEST_FILE, Plan};
use samp_runtime::{
    Fault, error_code::PLAN_MANIFEST_MALFORMED, outside_file::read_regular, plan::MAX_MANIFEST_BYTES,
};

use crate::{
    failure::Failure,
    output::{Outcome, print, print_json},
};

/// Compare two plans by what they decide: model, limits, formats, layouts, steps, kernels, memory
///
/// Exits with 1 if they differ. Other names of the checkpoint are shown and are no difference.
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

/// Compares and reports.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let (a, b) = (manifest(&args.plan_a)?, manifest(&args.plan_b)?);
    let changes = compare::differences(&a, &b);
    if args.json {
        print_json(&changes)?;
    } else {
        let names = compare::names(&a, &b);
        let mut text: String = names.iter().chain(&changes).map(|change| format!("{change}\n")).collect();
        if changes.is_empty() {
            text += "the plans decide the same\n";
        }
        print(&text)?;
    }
    Ok(if changes.is_empty() { Outcome::Clean } else { Outcome::Findings })
}

/// The manifest of a plan that is sound: what a damaged one says is no answer. A plan for GPUs of another build is sound
/// here, since none of it is run.
fn manifest(dir: &Path) -> anyhow::Result<Plan> {
    let faults = samp_runtime::validate(dir);
    if let Some(fault) = faults.into_iter().find(|fault| fault.fault != Fault::OtherBuild) {
        let plan = (!fault.is_wrong_path()).then(|| dir.display().to_string());
        let error = anyhow::Error::new(fault);
        return Err(match plan {
            Some(plan) => error.context(plan),
            None => error,
        });
    }
    let path = dir.join(MANIFEST_FILE);
    let bytes = read_regular(&path, MAX_MANIFEST_BYTES)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    samp_abi::plan::unseal(&bytes, |b| blake3::hash(b).to_string()).map_err(|why| {
        Failure::new(PLAN_MANIFEST_MALFORMED, why.to_string()).in_file(path.display().to_string()).into()
    })
}
