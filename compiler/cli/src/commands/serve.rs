//! `samp serve`: a plan over OpenAI's API, by the program `samp-server` that is installed beside `samp` and links no LLVM.

use std::{ffi::OsString, io::ErrorKind, os::unix::process::CommandExt, path::PathBuf, process::Command};

use crate::{error_code, failure::Failure, output::Outcome};

/// Serve a plan over OpenAI's API; `samp serve --help` lists the server's own flags
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// The plan, and flags of the server
    #[arg(value_name = "PLAN AND FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
    line: Vec<OsString>,
}

/// Becomes the server. Returns only if there is none.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let server = server();
    let error = Command::new(&server).args(&args.line).exec();
    let message = format!("{}: the server cannot be started: {error}", server.display());
    let failure = Failure::new(error_code::NO_SERVER, message);
    Err(match error.kind() {
        ErrorKind::NotFound => {
            failure.hint("install it beside samp: `make install`, or cargo build -p samp-server")
        }
        _ => failure,
    }
    .into())
}

/// The server beside this program, whatever the shell found this by.
fn server() -> PathBuf {
    let own = std::env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
    own.with_file_name("samp-server")
}
