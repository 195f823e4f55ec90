//! The progress bar of the command.

use std::{ops::ControlFlow, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use samp_runtime::Progress;

/// A bar on standard error, with bytes, rate and remaining time; nothing where that is not a terminal. Notes are lines of
/// their own there, terminal or not.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    notes: bool,
}

impl Bar {
    /// A bar with notes, or with `quiet` neither.
    pub fn new(quiet: bool) -> Bar {
        Bar::with_notes(quiet, quiet)
    }

    /// A bar unless `hidden`, with notes unless `quiet`.
    pub fn with_notes(hidden: bool, quiet: bool) -> Bar {
        let style =
            "{bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left  {wide_msg}";
        Bar { bar: bar(hidden, style), notes: !quiet }
    }

    /// A bar that counts records, not bytes.
    pub fn of_records() -> Bar {
        Bar { bar: bar(false, "{bar:30} {pos}/{len} records, {eta} left"), notes: true }
    }
}

fn bar(hidden: bool, style: &str) -> ProgressBar {
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(ProgressStyle::with_template(style).expect("the template is constant"));
    bar
}

impl Progress for Bar {
    fn begin(&self, stage: &str, units: u64) {
        self.bar.set_message(stage.to_owned());
        if units > 0 {
            self.bar.set_length(units);
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    fn advance(&self, item: &str, units: u64) -> ControlFlow<()> {
        self.bar.set_message(item.to_owned());
        self.bar.inc(units);
        ControlFlow::Continue(())
    }

    fn note(&self, text: &str) {
        if self.notes {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
