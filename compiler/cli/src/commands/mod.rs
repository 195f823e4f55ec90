//! The `samp` command line. Results go to stdout, progress and logs to stderr; `--json` makes results machine-readable.
//!
//! Exit codes: 0 done, 1 findings (a check was made and something was found), 2 usage or internal error.

mod compile;
mod completions;
mod diff;
mod doctor;
mod eval;
mod export;
mod inspect;
mod man;
mod measure;
mod profile;
mod report;
mod run;
mod sign;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{identity::IdentityError, output::Outcome, version};

/// Compiles Llama checkpoints into mixed-precision plans and runs them.
#[derive(Parser)]
#[command(name = "samp", version = version::SHORT, long_version = version::LONG.as_str(), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Compile(Box<compile::Args>),
    Measure(Box<measure::Args>),
    Profile(profile::Args),
    Run(run::Args),
    Eval(eval::Args),
    Validate(validate::Args),
    Sign(sign::Args),
    Inspect(inspect::Args),
    Diff(diff::Args),
    Report(report::Args),
    Export(export::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compile(args) => compile::run(&args),
        Command::Measure(args) => measure::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    };
    match result {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            // That a plan is not the expected one is an answer.
            ExitCode::from(if error.is::<IdentityError>() { 1 } else { 2 })
        }
    }
}

/// Diagnostics are already whole sentences with their own prefix; other errors print their chain of causes, with
/// their code if they have one.
fn explain(error: &anyhow::Error) {
    use samp_compiler::{compile::CompileError, emit::EmitError};
    let compile = error.downcast_ref::<CompileError>();
    let emission = error.downcast_ref::<EmitError>();
    let import = emission.and_then(|emission| match emission {
        EmitError::Import(finding) => Some(finding),
        _ => None,
    });
    let finding = error.downcast_ref::<samp_ir::Diagnostic>().or(import);
    let identity = error.downcast_ref::<IdentityError>().map(IdentityError::code);
    let signing = error.downcast_ref::<sign::SignError>().map(sign::SignError::code);
    let code =
        compile.and_then(CompileError::code).or(emission.map(EmitError::code)).or(identity).or(signing);
    match (finding.or(compile.and_then(CompileError::finding)), code) {
        (Some(finding), _) => eprintln!("{finding}"),
        (None, Some(code)) => eprintln!("error[{code}]: {error:#}"),
        (None, None) => eprintln!("error: {error:#}"),
    }
}

/// A reader such as `head` that has seen enough is no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
