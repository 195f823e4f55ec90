//! How emission and loading tell what they have done, and ask whether to go on. The library itself prints nothing.

use std::{ops::ControlFlow, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Hears of progress. Bytes are those of the weights files.
pub trait Progress: Sync {
    /// Work begins: so many bytes in all.
    fn begin(&self, _bytes: u64) {}

    /// A tensor was written, or found finished (`resumed`). `Break` stops the work, which a later run can continue.
    fn tensor(&self, _name: &str, _bytes: u64, _resumed: bool) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// A stage without bytes, such as `running the probe`.
    fn stage(&self, _name: &'static str) {}

    /// All is done, or the work stopped.
    fn end(&self) {}
}

/// Hears nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {}

/// A bar on standard error, with bytes, rate and remaining time; nothing where that is not a terminal.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar, or with `quiet` none.
    pub fn new(quiet: bool) -> Bar {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style =
            "{bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left  {wide_msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is constant"));
        Bar(bar)
    }

    /// So many bytes of all are where they should be.
    pub fn reach(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }
}

impl Progress for Bar {
    fn begin(&self, bytes: u64) {
        self.0.set_length(bytes);
        self.0.enable_steady_tick(Duration::from_millis(200));
    }

    fn tensor(&self, name: &str, bytes: u64, _resumed: bool) -> ControlFlow<()> {
        self.0.set_message(name.to_owned());
        self.0.inc(bytes);
        ControlFlow::Continue(())
    }

    fn stage(&self, name: &'static str) {
        self.0.set_message(name);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
