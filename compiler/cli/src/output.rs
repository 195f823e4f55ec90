//! What a subcommand came to, its results on stdout, and what is said beside them on stderr.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// What a command that made its checks came to.
pub enum Outcome {
    /// Done, nothing found.
    Clean,
    /// Done, with findings.
    Findings,
}

/// Prints a result on stdout. Unlike `print!`, a closed pipe is an error of the kind that the command passes over.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints a value as indented JSON on stdout.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Says a line on stderr. Unlike `eprintln!`, it does not mind that nobody listens.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
