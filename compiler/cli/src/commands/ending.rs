//! How a command ends: any error, a wrong command line and a panic as one failure.

use std::{
    error::Error,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use crate::{error_code, failure::Failure, numbers, output::Outcome};

/// What the last panic said, and where.
static LAST_PANIC: Mutex<Option<(String, String)>> = Mutex::new(None);

/// What `work` comes to. A panic, on whichever thread, is a failure of samp rather than an abort, and prints nothing of its
/// own: libraries that panic on bad input are caught nearer to it.
pub fn guarded(work: impl FnOnce() -> Result<Outcome, Failure>) -> Result<Outcome, Failure> {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or("without a word").to_owned();
        let place = panic.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
        *LAST_PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some((said, place));
    }));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let last = LAST_PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let (said, place) = last.unwrap_or_default();
        Err(Failure::of_panic(&said, &place))
    })
}

/// What a command came to, as a failure if it failed. A reader such as `head` that has seen enough is no error.
pub fn passing_over_pipes<T: Into<Outcome>>(done: anyhow::Result<T>) -> Result<Outcome, Failure> {
    match done {
        Ok(outcome) => Ok(outcome.into()),
        Err(error) if is_closed_pipe(&error) => Ok(Outcome::Clean),
        Err(error) => Err(Failure::of(&error)),
    }
}

impl From<()> for Outcome {
    fn from((): ()) -> Outcome {
        Outcome::Clean
    }
}

/// Whether nobody reads any more what is printed.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// A command line that is not as it should be. What clap says of it is a message, the usage a note and the rest a hint.
pub fn usage(wrong: &clap::Error) -> Failure {
    let text = wrong.render().to_string();
    let Some(text) = text.strip_prefix("error: ") else {
        return Failure::new(error_code::USAGE, "expected a command, found none")
            .hint("`samp --help` lists the commands");
    };
    let text = match wrong.source().and_then(|why| Some((why.to_string(), numbers::expected(why)?))) {
        Some((refusal, expected)) => text.replacen(&refusal, expected, 1),
        None => text.to_owned(),
    };
    let (said, usage) = text.split_once("\n\nUsage: ").unwrap_or((&text, ""));
    let mut lines =
        said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("try '--help'"));
    let failure = Failure::new(error_code::USAGE, lines.next().unwrap_or_default());
    let failure = lines.fold(failure, |failure, line| failure.note(line));
    match usage.lines().next() {
        Some(usage) if !usage.is_empty() => failure.note(format!("usage: {usage}")),
        _ => failure,
    }
    .hint("--help lists every option")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_on_any_thread_is_a_bug_that_is_said_once() {
        let failed = |work: fn()| {
            let ended = guarded(|| {
                work();
                Ok(Outcome::Clean)
            });
            ended.map(drop).unwrap_err()
        };
        let here = failed(|| panic!("seven is {}", 8));
        assert_eq!(here.cause.exit_code(), 4);
        let shown = here.to_string();
        assert!(shown.starts_with("error[E1501]: samp panicked: seven is 8"), "{shown}");
        assert!(shown.contains("ending.rs") && shown.contains("bug in samp"), "{shown}");
        let elsewhere = failed(|| {
            let thread = std::thread::spawn(|| panic!("far away"));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        assert!(elsewhere.to_string().contains("far away"), "{elsewhere}");
    }
}
