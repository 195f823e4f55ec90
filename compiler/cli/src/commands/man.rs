//! `samp man`: manual pages.

use std::{fs, io, path::PathBuf};

use anyhow::Context;
use clap_mangen::Man;

use crate::{
    output::{Outcome, print},
    version,
};

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
    let paths = write(args, command)?;
    print(&paths.iter().map(|path| format!("{}\n", path.display())).collect::<String>())?;
    Ok(Outcome::Clean)
}

/// Writes a page for the command and for all below it; gives the pages' paths.
fn write(args: &Args, command: clap::Command) -> anyhow::Result<Vec<PathBuf>> {
    // A page of help about help there is not.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut paths = vec![];
    let mut pending = vec![command];
    while let Some(command) = pending.pop() {
        pending.extend(command.get_subcommands().filter(|below| !below.is_hide_set()).cloned());
        let (text, name) = page(command).context("laying out a manual page")?;
        let path = args.folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        paths.push(path);
    }
    paths.sort();
    Ok(paths)
}

/// One page and the name of its file: the sections of clap, with headings that manuals have for the examples and version.
fn page(command: clap::Command) -> io::Result<(Vec<u8>, String)> {
    let examples = command.get_after_help().map(ToString::to_string);
    let parts = command.has_subcommands();
    let page = Man::new(command).source(format!("samp {}", version::SHORT)).manual("samp");
    let mut text = vec![];
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if parts {
        page.render_subcommands_section(&mut text)?;
    }
    if let Some(examples) = examples {
        section(&mut text, "EXAMPLES", examples.trim_start_matches("Examples:\n"));
    }
    section(&mut text, "VERSION", &version::LONG);
    Ok((text, page.get_filename()))
}

/// A section whose lines stay as they are.
fn section(page: &mut Vec<u8>, heading: &str, lines: &str) {
    page.extend(format!(".SH {heading}\n.nf\n").bytes());
    for line in lines.lines() {
        // A dot or an apostrophe at the beginning would be a request.
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        page.extend(format!("\\&{line}\n").bytes());
    }
    page.extend(b".fi\n");
}
