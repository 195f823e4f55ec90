//! Signals that ask the program to stop.

use anyhow::Context;
pub use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `heard` with each of these signals, on a thread of its own; they no longer end the program.
pub fn hear(signals: &[i32], heard: impl FnMut(i32) + Send + 'static) -> anyhow::Result<()> {
    let mut signals = Signals::new(signals).context("Ctrl-C cannot be taken")?;
    std::thread::spawn(move || signals.forever().for_each(heard));
    Ok(())
}

/// What a shell gives for a program that a signal ended.
pub fn exit_code(signal: i32) -> i32 {
    128 + signal
}
