//! `samp compile`: a checkpoint becomes a plan.

mod args;
mod compilation;
mod constraints;
mod render;
mod report;
mod targets;

pub use self::{args::Args, report::Document};
use self::{compilation::Compilation, targets::PlansFolder};
use crate::{
    interruption,
    output::{Outcome, print_json},
};

/// Compiles for each target and reports, for one after the other. What can be refused of any is refused before the first.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    targets::check(&args.targets)?;
    let several = args.targets.len() > 1;
    let folder = args.output.as_ref().filter(|_| several && !args.only_says());
    let _folder = folder.map(|folder| PlansFolder::make(folder)).transpose()?;
    let compilations =
        args.targets.iter().map(|&target| Compilation::new(args, target)).collect::<Result<Vec<_>, _>>()?;
    let loaded = compilations.iter().map(Compilation::open).collect::<anyhow::Result<Vec<_>>>()?;
    let mut done: Vec<&Compilation<'_>> = vec![];
    let mut plans = vec![];
    for (compilation, loaded) in compilations.iter().zip(loaded) {
        let finished = done.iter().filter_map(|done| done.output.clone()).collect();
        compilation.explain_interruption(finished)?;
        plans.push(compilation.run(loaded).map_err(|error| compilation.named(error, &done))?);
        done.push(compilation);
    }
    interruption::over();
    if args.json {
        print_json(&Document { plans })?;
    }
    Ok(Outcome::Clean)
}
