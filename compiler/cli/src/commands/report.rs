//! `samp report`: a plan explained on one page.

use std::path::PathBuf;

use anyhow::Context;

use crate::{
    error_code,
    failure::Failure,
    identity::IdentityArgs,
    output::{Outcome, print, print_json},
    report::{Price, ReportInputs, page},
    written::Written,
};
use samp_compiler::{
    certificate::{CERTIFICATE_VERSION, Certificate},
    emit::CERTIFICATE_FILE,
    output_file::OutputFile,
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
    args.output.as_deref().map(|page| OutputFile::Page.check(page)).transpose()?;
    let opened = samp_runtime::open(&args.plan)?;
    args.identity.require(&opened)?;
    let certificate = opened.file(CERTIFICATE_FILE).ok_or_else(|| {
        let message = format!("{}: this plan carries no {CERTIFICATE_FILE}", args.plan.display());
        Failure::new(error_code::CERTIFICATE, message).hint("compile it again")
    })?;
    let certificate = certificate_of(certificate)?;
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

/// Reads a certificate; its version is told first, so that a later one is refused for that reason.
fn certificate_of(bytes: &[u8]) -> Result<Certificate, Failure> {
    #[derive(serde::Deserialize)]
    struct Head {
        schema: samp_abi::plan::Version,
    }
    let malformed = |why: serde_json::Error| {
        Failure::new(error_code::CERTIFICATE, why.to_string()).in_file(CERTIFICATE_FILE)
    };
    let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
    let (expected, found) = (CERTIFICATE_VERSION, head.schema);
    if found.major != expected.major {
        let message =
            format!("{CERTIFICATE_FILE} has schema version {found}, expected {expected} or a compatible one");
        return Err(Failure::new(error_code::CERTIFICATE, message).hint("compile the plan again"));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}
