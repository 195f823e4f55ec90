//! Signals that ask the program to stop.

use std::sync::Arc;

use anyhow::Context;
use samp_runtime::ThreadsError;
use signal_hook::consts::SIGXFSZ;
pub use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `heard` with each of these signals, on a thread of its own; they no longer end the program.
pub fn hear(signals: &[i32], heard: impl FnMut(i32) + Send + 'static) -> anyhow::Result<()> {
    let mut signals = Signals::new(signals).context("Ctrl-C cannot be taken")?;
    let heard = move || signals.forever().for_each(heard);
    std::thread::Builder::new().spawn(heard).map_err(ThreadsError::from)?;
    Ok(())
}

/// Has a file that would exceed the limit on its size (`ulimit -f`) be refused as any other write is: by default the program
/// would end without a word, and leave what it was writing.
pub fn survive_file_size_limit() {
    // Where a handler is refused, all is as it would be without.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}

/// What a shell gives for a program that a signal ended.
pub fn exit_code(signal: i32) -> i32 {
    128 + signal
}
