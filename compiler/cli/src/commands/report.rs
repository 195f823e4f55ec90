//! `samp report`: a plan explained on one page.

use std::path::PathBuf;

use anyhow::Context;
use samp_abi::TargetName;

use crate::{
    error_code,
    failure::Failure,
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
    /// What a machine costs an hour, with its currency ('3.20 EUR', '$3.20'), to price tokens; may be given several times.
    /// NAME heads its column, such as spot, and is not of a target other than the plan's
    #[arg(long, value_name = "[NAME=]PRICE")]
    price_per_hour: Vec<Price>,
    /// Print what was written as JSON
    #[arg(long, requires = "output")]
    json: bool,
}

/// Refuses a price that is named after another target than the plan's: it would price the times that are predicted for the
/// plan's own.
fn expect_target(price: &Price, target: TargetName) -> Result<(), Failure> {
    let Some(other) = price.other_target(target) else { return Ok(()) };
    let message = format!(
        "--price-per-hour: expected what {target} costs, which the plan is for, found the price of {other}"
    );
    Err(Failure::new(error_code::USAGE, message)
        .note(format!("the page prices the times that are predicted on {target}"))
        .hint(format!("report a plan for {other}, or name the price otherwise")))
}

/// Writes the page.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let Some(page) = &args.output {
        OutputFile::Page.check(page)?;
        refuse_inside(page, &args.plan)?;
    }
    let opened = samp_runtime::open(&args.plan)?;
    args.identity.require(&opened)?;
    args.price_per_hour.iter().try_for_each(|price| expect_target(price, opened.manifest().target))?;
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
