//! `samp man`: manual pages.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap_mangen::Man;

use crate::output::{Outcome, print};

/// Write the manual pages into a folder: samp.1, and one for each command such as samp-compile.1
///
/// `make install` puts them where `man` finds them.
#[derive(clap::Args)]
pub struct Args {
    /// The folder; it is made if it is not there
    folder: PathBuf,
}

/// Writes the pages of the whole `command`.
pub fn run(args: &Args, command: clap::Command) -> anyhow::Result<Outcome> {
    fs::create_dir_all(&args.folder).with_context(|| format!("making {}", args.folder.display()))?;
    let names = write(args, command)?;
    print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())?;
    Ok(Outcome::Clean)
}

/// Writes a page for the command and for all below it; gives the pages' file names.
fn write(args: &Args, mut command: clap::Command) -> anyhow::Result<Vec<String>> {
    command.build();
    let mut names = vec![];
    let mut pending = vec![command];
    while let Some(command) = pending.pop() {
        let below =
            command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
        pending.extend(below.cloned());
        let page = Man::new(command);
        let path = args.folder.join(page.get_filename());
        let mut text = vec![];
        page.render(&mut text)?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        names.push(page.get_filename());
    }
    names.sort();
    Ok(names)
}
