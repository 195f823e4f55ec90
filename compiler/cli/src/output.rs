//! What a subcommand came to, and its results on stdout.

/// What a command that made its checks came to.
pub enum Outcome {
    /// Done, nothing found.
    Clean,
    /// Done, with findings.
    Findings,
}

/// Prints a result on stdout. Unlike `print!`, a closed pipe is an error of the kind that the command passes over.
pub fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints a value as indented JSON on stdout.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}
