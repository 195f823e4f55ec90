//! `samp report`: a plan explained on one page.

use std::path::PathBuf;

use anyhow::Context;

use crate::{
    identity::IdentityArgs,
    output::{Outcome, print, print_json},
    plan_certificate,
    report::{Price, ReportInputs, page},
    written::Written,
};
use samp_compiler::{
    output_file::{OutputFile, refuse_inside},
    whole_file::write_whole,
};

/// Explain a plan on one HTML page: size, quality, sensitivity, the front, decisions, cost
///
/// The page fetches nothing and can be sent as it is.
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Where to write the page [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What a machine costs an hour, with its currency ('3.20 EUR', '$3.20'), to price tokens; may be given several times
    #[arg(long, value_name = "[NAME=]PRICE")]
    price_per_hour: Vec<Price>,
    /// Print what was written as JSON
    #[arg(long, requires = "output")]
    json: bool,
}

/// Writes the page.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let Some(page) = &args.output {
        OutputFile::Page.check(page)?;
        refuse_inside(page, &args.plan)?;
    }
    let opened = samp_runtime::open(&args.plan)?;
    args.identity.require(&opened)?;
    let certificate =
        plan_certificate::read(&opened)?.ok_or_else(|| plan_certificate::missing(&args.plan))?;
    let inputs =
        ReportInputs { plan: opened.manifest(), certificate: &certificate, prices: &args.price_per_hour };
    let html = page(&inputs)?;
    match &args.output {
        Some(file) => {
            write_whole(file, html.as_bytes()).with_context(|| format!("writing {}", file.display()))?;
            if args.json {
                print_json(&Written::new(file, &[]))?;
            }
        }
        None => print(&html)?,
    }
    Ok(Outcome::Clean)
}
