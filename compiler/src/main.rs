//! The `samp` command.

fn main() -> std::process::ExitCode {
    samp_compiler::cli::main()
}
