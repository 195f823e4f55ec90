//! The progress of the command, on standard error.

use std::{
    io::IsTerminal,
    ops::ControlFlow,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use samp_ir::printable_line;
use samp_runtime::Progress;

use crate::{
    estimate::{Estimate, shown},
    interruption,
    output::say,
    progress_lines::ProgressLines,
};

/// A bar with elapsed and remaining time where standard error is a terminal; lines elsewhere; or nothing.
pub struct Bar(Shown);

enum Shown {
    Nothing,
    Terminal(ProgressBar),
    /// With when counting began.
    Lines(Mutex<ProgressLines>, Instant),
}

/// Bytes with their rate.
const BYTES: &str =
    "{bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {time}  {wide_msg}";
/// Weights, tokens, tensors: what counts is the share.
const SHARE: &str = "{bar:30} {percent:>3} %  {time}  {wide_msg}";
const RECORDS: &str = "{bar:30} {pos}/{len} records  {time}";

impl Bar {
    /// Of bytes; nothing with `quiet`.
    pub fn of_bytes(quiet: bool) -> Bar {
        Bar::new(BYTES, quiet)
    }

    /// Of stages with units of their own; nothing with `quiet`.
    pub fn of_stages(quiet: bool) -> Bar {
        Bar::new(SHARE, quiet)
    }

    /// Of records.
    pub fn of_records() -> Bar {
        Bar::new(RECORDS, false)
    }

    fn new(style: &str, quiet: bool) -> Bar {
        Bar(match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Shown::Nothing,
            (false, true) => Shown::Terminal(terminal(style)),
            (false, false) => Shown::Lines(Mutex::default(), Instant::now()),
        })
    }
}

fn terminal(style: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(style).expect("the template is constant");
    bar.set_style(style.with_key("time", time));
    bar
}

/// Elapsed time, and what is left.
fn time(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let at = Estimate { done: state.pos(), total: state.len().unwrap_or(0), elapsed: state.elapsed() };
    let left = at.left().map_or(String::new(), |left| format!(", {} left", shown(left)));
    let _ = write!(out, "{}{left}", shown(at.elapsed));
}

impl Progress for Bar {
    fn begin(&self, stage: &str, units: u64) {
        match &self.0 {
            Shown::Nothing => {}
            Shown::Terminal(bar) => {
                bar.reset();
                if units > 0 {
                    bar.set_length(units)
                } else {
                    bar.unset_length()
                }
                bar.set_message(stage.to_owned());
                bar.enable_steady_tick(Duration::from_millis(200));
            }
            Shown::Lines(lines, since) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                say(lines.begin(stage, units, since.elapsed()));
            }
        }
    }

    fn advance(&self, item: &str, units: u64) -> ControlFlow<()> {
        match &self.0 {
            Shown::Nothing => {}
            Shown::Terminal(bar) => {
                if !item.is_empty() {
                    bar.set_message(printable_line(item).into_owned());
                }
                bar.inc(units);
            }
            Shown::Lines(lines, since) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.advance(item, units, since.elapsed()).into_iter().for_each(say);
            }
        }
        ControlFlow::Continue(())
    }

    fn note(&self, text: &str) {
        match &self.0 {
            Shown::Nothing => {}
            Shown::Terminal(bar) => bar.suspend(|| say(text)),
            Shown::Lines(..) => say(text),
        }
    }

    fn published(&self, output: &Path) {
        interruption::published(output);
    }

    /// Warnings are no progress: they are said with `quiet`, too.
    fn warn(&self, text: &str) {
        match &self.0 {
            Shown::Nothing => say(text),
            _ => self.note(text),
        }
    }

    fn end(&self) {
        match &self.0 {
            Shown::Nothing => {}
            Shown::Terminal(bar) => bar.finish_and_clear(),
            Shown::Lines(lines, since) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.end(since.elapsed()).into_iter().for_each(say);
            }
        }
    }
}
