//! The progress bar of the command.

use std::{ops::ControlFlow, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use samp_runtime::Progress;

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
}

impl Progress for Bar {
    fn begin(&self, stage: &str, units: u64) {
        self.0.set_message(stage.to_owned());
        if units > 0 {
            self.0.set_length(units);
            self.0.enable_steady_tick(Duration::from_millis(200));
        }
    }

    fn advance(&self, item: &str, units: u64) -> ControlFlow<()> {
        self.0.set_message(item.to_owned());
        self.0.inc(units);
        ControlFlow::Continue(())
    }

    fn note(&self, text: &str) {
        self.0.println(text);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
