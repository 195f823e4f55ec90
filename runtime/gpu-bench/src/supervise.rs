//! Units done by one process after another: a fault on a GPU ends all that its process can do there, and a launch that never
//! ends can only be ended with it.
//!
//! A worker does units from a number on and tells of each before it launches it. Where it ends too early or is silent for
//! too long, the unit that it was at is wrong, and another worker begins with the next.

use std::{
    io::{self, BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use samp_runtime::Progress;

use crate::outcome::{Summary, TRY};

/// What workers may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Before the first unit.
    pub start: Duration,
    /// For one unit.
    pub unit: Duration,
    /// Workers after the first.
    pub restarts: usize,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The system refused.
    #[error("starting a worker: {0}")]
    Process(#[from] io::Error),
    /// A worker did nothing at all.
    #[error("a worker came to no unit ({how}); what it said stands above")]
    Nothing {
        /// How it ended.
        how: String,
    },
}

/// How one worker ended.
struct WorkerEnd {
    /// Units that it began.
    begun: usize,
    /// The one that it did not come to the end of.
    open: Option<String>,
    /// `None` if it was silent for too long.
    status: Option<ExitStatus>,
}

impl WorkerEnd {
    fn how(&self) -> String {
        match self.status {
            Some(status) => format!("its process ended with {status}"),
            None => "its process was silent for too long".into(),
        }
    }
}

/// Does all units. `worker` gives the command that begins with the unit of a number and ends with success when all are done,
/// whatever came of them; its lines are handed on.
pub fn supervise(
    worker: impl Fn(usize) -> io::Result<Command>,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Summary, SuperviseError> {
    let (mut summary, mut next) = (Summary::default(), 0);
    for _ in 0..=limits.restarts {
        let ended = watch(worker(next)?, limits, &mut |line| {
            summary.count(line);
            progress.note(line);
        })?;
        next += ended.begun;
        let done = ended.open.is_none() && ended.status.is_some_and(|status| status.success());
        if done {
            return Ok(summary);
        }
        if ended.begun == 0 {
            return Err(SuperviseError::Nothing { how: ended.how() });
        }
        if let Some(unit) = &ended.open {
            summary.fail(&format!("{unit}: {}", ended.how()), progress);
        }
    }
    summary.fail(&format!("all units after {next}: given up after {} restarts", limits.restarts), progress);
    Ok(summary)
}

/// Hands on the lines of one worker until it ends.
fn watch(mut command: Command, limits: Limits, on_line: &mut dyn FnMut(&str)) -> io::Result<WorkerEnd> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let lines = lines(&mut child);
    let (mut begun, mut open) = (0, None);
    let silent = loop {
        let limit = if begun == 0 { limits.start } else { limits.unit };
        match lines.recv_timeout(limit) {
            Ok(line) => {
                let unit = line.strip_prefix(TRY).map(str::to_owned);
                begun += usize::from(unit.is_some());
                open = unit;
                on_line(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    if silent {
        child.kill()?;
    }
    let status = child.wait()?;
    Ok(WorkerEnd { begun, open, status: (!silent).then_some(status) })
}

/// The lines of a process, as they come.
fn lines(child: &mut Child) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    let output = child.stdout.take().expect("it was piped");
    thread::spawn(move || {
        // Text that is none ends the worker's account like its end does.
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const LIMITS: Limits =
        Limits { start: Duration::from_secs(20), unit: Duration::from_millis(500), restarts: 2 };

    /// Keeps what it hears.
    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Progress for Lines {
        fn note(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }

    /// Four units, of which a shell does those from a number on, one by one as `units` says.
    fn supervised(units: &str) -> (Result<Summary, SuperviseError>, Vec<String>) {
        let worker = |from: usize| {
            let mut command = Command::new("bash");
            let script = format!("for unit in 0 1 2 3; do if [ $unit -ge $1 ]; then {units}; fi; done");
            command.args(["-c", &script, "worker", &from.to_string()]);
            Ok(command)
        };
        let lines = Lines::default();
        let summary = supervise(worker, LIMITS, &lines);
        (summary, lines.0.into_inner().unwrap())
    }

    #[test]
    fn what_workers_tell_is_counted() {
        let (summary, told) = supervised("echo 'try   '$unit; echo 'ok    '$unit");
        assert_eq!(summary.unwrap(), Summary { passed: 4, ..Summary::default() });
        assert_eq!(told.len(), 8);
    }

    #[test]
    fn the_rest_goes_on_after_a_worker_that_fails() {
        let (summary, _) = supervised("echo 'try   '$unit; [ $unit = 1 ] && exit 2; echo 'ok    '$unit");
        let summary = summary.unwrap();
        assert_eq!((summary.passed, summary.failures.len()), (3, 1), "{summary:?}");
        assert!(summary.failures[0].starts_with("1: its process ended with exit status: 2"), "{summary:?}");
    }

    #[test]
    fn a_worker_that_hangs_is_ended() {
        let (summary, _) =
            supervised("echo 'try   '$unit; [ $unit = 2 ] && exec sleep 60; echo 'left  '$unit");
        let summary = summary.unwrap();
        assert_eq!((summary.skipped, summary.failures.len()), (3, 1), "{summary:?}");
        assert!(summary.failures[0].starts_with("2: its process was silent"), "{summary:?}");
    }

    #[test]
    fn workers_are_restarted_so_often_and_no_more() {
        let (summary, _) = supervised("echo 'try   '$unit; exit 2");
        let summary = summary.unwrap();
        assert_eq!((summary.passed, summary.failures.len()), (0, 4), "{summary:?}");
        assert!(summary.failures[3].starts_with("all units after 3: given up"), "{summary:?}");
    }

    #[test]
    fn a_worker_that_comes_to_nothing_is_an_error() {
        let (summary, _) = supervised("exit 2");
        assert!(matches!(summary, Err(SuperviseError::Nothing { .. })), "{summary:?}");
    }
}
