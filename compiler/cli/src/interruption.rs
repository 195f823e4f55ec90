//! Ctrl-C, or a request to end, while something long is made: it ends at once, since all that is finished lies on disk, and
//! says where and how it goes on.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, Once, PoisonError},
};

use samp_abi::Cause;
use samp_compiler::{
    emit::stop_publishing,
    error_code::{INTERRUPTED, LOCKED, STRICT},
};

use crate::{
    failure::Failure,
    output::{print_json, say_over_bar},
    signals::{self, SIGINT, SIGTERM},
};

/// What is being made.
pub struct Work {
    /// The folders that hold what is unfinished, those that there are when it is asked.
    pub unfinished: Box<dyn Fn() -> Vec<PathBuf> + Send>,
    /// What is finished, and stays.
    pub finished: Vec<PathBuf>,
    /// How many are to be finished in all.
    pub wanted: usize,
    /// Whether stdout gets a JSON document.
    pub json: bool,
}

static UNDER_WAY: Mutex<Option<Work>> = Mutex::new(None);

/// From now on a signal ends the program with a word on `work`, which takes the place of what was under way before.
pub fn explain(work: Work) -> anyhow::Result<()> {
    static INSTALL: Once = Once::new();
    *UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
    let mut installed = Ok(());
    INSTALL.call_once(|| installed = signals::hear(&[SIGINT, SIGTERM], end));
    installed
}

/// Notes an output that is finished now.
pub fn published(output: &Path) {
    if let Some(work) = &mut *UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner) {
        work.finished.push(output.into());
    }
}

/// From now on a signal ends the program without a word: all is done, and only what came of it is left to say.
pub fn over() {
    *UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

fn end(signal: i32) {
    stop_publishing();
    // Held to the end, so that the command does not print what came of it as well.
    let under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(work) = &*under_way {
        let failure = failure(&(work.unfinished)(), &work.finished, work.wanted);
        say_over_bar(&failure);
        // Where stdout cannot be written to, the exit code and stderr are left.
        let _ = if work.json { print_json(&failure.document()) } else { Ok(()) };
    }
    std::process::exit(signals::exit_code(signal));
}

/// The failure of a compile or a measurement, with what is kept of it and how that is gone on from.
pub fn with_what_is_kept(failure: Failure, unfinished: &[PathBuf]) -> Failure {
    // What another process works on is not this one's to speak of.
    if unfinished.is_empty() || failure.finding.code == LOCKED {
        return failure;
    }
    let command = match failure.cause {
        _ if failure.finding.code == STRICT => "the same command without --strict goes on from there",
        Cause::Refusal => "the same command with wider limits goes on from there",
        _ => "the same command goes on from there",
    };
    let note = format!("what is finished is kept in {}; {command}", listed(unfinished));
    failure.note(note)
}

/// What is said of an interruption: where what is finished is kept, and how it goes on.
fn failure(unfinished: &[PathBuf], finished: &[PathBuf], wanted: usize) -> Failure {
    let all_done = unfinished.is_empty() && finished.len() == wanted;
    let kept = match unfinished {
        [] if all_done => "all was done".into(),
        [] if finished.is_empty() => "nothing was begun".into(),
        [] => "nothing else was begun".into(),
        _ => format!("what is finished is kept in {}", listed(unfinished)),
    };
    let command = match finished {
        [] => "the same command",
        _ => "the same command without the targets that are done",
    };
    let hint = match unfinished {
        [] if all_done => "nothing is left to do".into(),
        [] => format!("{command} begins anew"),
        [one] => format!("{command} goes on from there; to begin anew, remove {} first", one.display()),
        _ => format!("{command} goes on from there; to begin anew, remove these folders first"),
    };
    let failure = Failure::new(INTERRUPTED, format!("interrupted; {kept}"));
    let failure =
        finished.iter().fold(failure, |failure, plan| failure.note(format!("done: {}", plan.display())));
    failure.hint(hint)
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_says_what_is_kept_and_what_is_done() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let said = failure(&paths(&["a.partial"]), &[], 1).to_string();
        assert_eq!(
            said,
            "error[E0719]: interrupted; what is finished is kept in a.partial\n  \
             hint: the same command goes on from there; to begin anew, remove a.partial first"
        );
        let said = failure(&paths(&["a", "b"]), &paths(&["plans/h100"]), 2).to_string();
        assert!(said.contains("kept in a and b") && said.contains("note: done: plans/h100"), "{said}");
        assert!(said.contains("the same command without the targets that are done"), "{said}");
        assert!(failure(&[], &[], 1).to_string().contains("nothing was begun"));
        let said = failure(&[], &paths(&["plans/a100"]), 2).to_string();
        assert!(said.contains("nothing else was begun") && said.contains("without the targets"), "{said}");
        let said = failure(&[], &paths(&["tiny.plan"]), 1).to_string();
        assert!(said.contains("all was done") && said.contains("note: done: tiny.plan"), "{said}");
        assert!(said.contains("nothing is left to do"), "{said}");
    }

    #[test]
    fn a_failure_says_what_is_kept_and_how_it_goes_on() {
        let said = |code, unfinished: &[PathBuf]| {
            with_what_is_kept(Failure::new(code, "no"), unfinished).finding.notes.join("\n")
        };
        let kept = [PathBuf::from("a.partial")];
        assert_eq!(
            said(samp_passes::error_code::INFEASIBLE, &kept),
            "what is finished is kept in a.partial; the same command with wider limits goes on from there"
        );
        assert!(said(STRICT, &kept).ends_with("the same command without --strict goes on from there"));
        assert!(
            said(samp_compiler::error_code::IO, &kept).ends_with("; the same command goes on from there")
        );
        assert_eq!(said(samp_passes::error_code::INFEASIBLE, &[]), "");
        assert_eq!(said(LOCKED, &kept), "", "another process is at work there");
    }
}
