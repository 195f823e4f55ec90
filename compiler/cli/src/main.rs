//! The `samp` command.

fn main() -> std::process::ExitCode {
    samp_cli::commands::main()
}
