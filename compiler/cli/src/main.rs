//! The `samp` command.

#[global_allocator]
static MEMORY: samp_cli::memory::Memory = samp_cli::memory::Memory;

fn main() -> std::process::ExitCode {
    samp_cli::commands::main()
}
