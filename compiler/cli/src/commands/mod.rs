//! The `samp` command line. Results go to stdout, progress and logs to stderr; with `--json` each command prints exactly
//! one JSON document on stdout, failures too.
//!
//! Exit codes: 0 done; 1 the answer is no: a finding, a budget, an infeasible demand; 2 wrong use or bad input; 3 the
//! environment: disk, lock, permission, memory, missing library; 4 a bug; 130 and 143 stopped by Ctrl-C (SIGINT) and by
//! SIGTERM.

mod bench;
mod compile;
mod completions;
mod diff;
mod doctor;
mod ending;
mod eval;
mod examples;
mod explain;
mod export;
mod inspect;
mod man;
mod measure;
mod profile;
mod report;
mod run;
mod schemas;
mod serve;
mod sign;
mod synth;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use samp_abi::Cause;
use samp_runtime::{ThreadsError, set_threads};

use self::ending::{guarded, passing_over_pipes, usage};
pub use self::schemas::output_schemas;
pub(crate) use self::sign::SignError;
use crate::{
    failure::Failure,
    memory,
    numbers::with_negative_numbers,
    output::{Outcome, print, print_json, say},
    signals, version,
};

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
    Serve(serve::Args),
    Eval(eval::Args),
    Validate(validate::Args),
    Sign(sign::Args),
    Inspect(inspect::Args),
    Diff(diff::Args),
    Report(report::Args),
    Export(export::Args),
    Bench(bench::Args),
    Synth(synth::Args),
    Doctor(doctor::Args),
    Explain(explain::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// Starts the threads that it computes on, if it computes: before the work, which has no way to say that the system
    /// refuses one.
    fn start_threads(&self) -> Result<(), ThreadsError> {
        match self {
            Command::Doctor(_)
            | Command::Explain(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Serve(_) => Ok(()),
            Command::Compile(args) => set_threads(args.threads),
            Command::Run(args) => args.threads.start(),
            Command::Eval(args) => args.threads.start(),
            Command::Bench(args) => set_threads(args.threads),
            _ => set_threads(None),
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    signals::survive_file_size_limit();
    let json = std::env::args_os().skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--json");
    if json {
        memory::refuse_in_json();
    }
    match guarded(parse_and_run) {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(Cause::Refusal.exit_code()),
        Err(failure) => {
            say(&failure);
            // Where stdout cannot be written to, the exit code and stderr are left.
            let _ = if json { print_json(&failure.document()) } else { Ok(()) };
            ExitCode::from(failure.cause.exit_code())
        }
    }
}

/// The command line, with examples in the help.
fn command_line() -> clap::Command {
    examples::with_examples(with_negative_numbers(Cli::command()))
}

/// The words of the command line. `samp bench serve` is the server's own command `bench`: whoever has a plan of that name says
/// `./serve`.
fn words() -> Vec<std::ffi::OsString> {
    let mut words: Vec<_> = std::env::args_os().collect();
    if let [_, bench, serve, ..] = words.as_mut_slice()
        && (*bench == "bench" && *serve == "serve")
    {
        std::mem::swap(bench, serve);
    }
    words
}

/// What the command line asks for, done.
fn parse_and_run() -> Result<Outcome, Failure> {
    let parsed =
        command_line().try_get_matches_from(words()).and_then(|matches| Cli::from_arg_matches(&matches));
    let command = match parsed {
        Ok(cli) => cli.command,
        Err(shown) if !shown.use_stderr() => return passing_over_pipes(print(&shown.render().to_string())),
        Err(wrong) => return Err(usage(&wrong)),
    };
    passing_over_pipes(run(command))
}

fn run(command: Command) -> anyhow::Result<Outcome> {
    command.start_threads()?;
    match command {
        Command::Compile(args) => compile::run(&args),
        Command::Measure(args) => measure::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Synth(args) => synth::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Completions(args) => completions::run(&args, command_line()),
        Command::Man(args) => man::run(&args, command_line()),
    }
}
