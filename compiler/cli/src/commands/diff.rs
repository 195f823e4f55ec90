//! `samp diff`: what two plans decide differently.

mod change;
mod compare;
mod split_weights;
mod steps;

pub use self::change::Change;

use std::path::{Path, PathBuf};

use anyhow::Context;
use samp_abi::plan::{MANIFEST_FILE, Plan};
use samp_compiler::{error_code, wrong_path::expect_path};
use samp_runtime::Wanted;
use samp_runtime::error_code::PLAN_MANIFEST_MALFORMED;

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

fn manifest(dir: &Path) -> anyhow::Result<Plan> {
    expect_path(dir, Wanted::Plan, error_code::WRONG_PATH)?;
    let path = dir.join(MANIFEST_FILE);
    let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    samp_abi::plan::unseal(&bytes, |b| blake3::hash(b).to_string()).map_err(|why| {
        Failure::new(PLAN_MANIFEST_MALFORMED, why.to_string()).in_file(path.display().to_string()).into()
    })
}
