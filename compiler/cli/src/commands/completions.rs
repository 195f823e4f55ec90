//! `samp completions`: completion scripts for shells.

use crate::output::{Outcome, print};

/// Print the completion script of a shell; load it as that shell's manual says
#[derive(clap::Args)]
pub struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Prints the script for the whole `command`.
pub fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<Outcome> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut command, "samp", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(Outcome::Clean)
}
