//! An answer on stdout as it comes, and how fast it came.

use std::{
    fmt,
    io::{StdoutLock, Write},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use samp_runtime::Delta;

use crate::output::stdout;

/// Writes text as it comes, or only takes its times.
pub struct Stream {
    silent: bool,
    started: Instant,
    first_token: Option<Duration>,
    failed: Option<std::io::Error>,
}

impl Stream {
    /// A stream that begins now; a silent one writes nothing.
    pub fn new(silent: bool) -> Stream {
        Stream { silent, started: Instant::now(), first_token: None, failed: None }
    }

    /// Takes what a token brought. A reader that is gone ends the generation.
    pub fn take(&mut self, delta: &Delta) -> ControlFlow<()> {
        self.first_token.get_or_insert_with(|| self.started.elapsed());
        if self.silent {
            return ControlFlow::Continue(());
        }
        let write = |mut out: StdoutLock<'_>| out.write_all(delta.text.as_bytes()).and_then(|()| out.flush());
        match stdout().and_then(write) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Ends the stream: how fast `tokens` came, if any did.
    pub fn finish(self, tokens: usize) -> anyhow::Result<Option<Speed>> {
        let total = self.started.elapsed();
        match self.failed {
            Some(error) => Err(error.into()),
            None => Ok(self.first_token.map(|first| Speed { tokens, first, total })),
        }
    }
}

/// How fast tokens came. The first is kept apart from the rate of the rest, as benchmarks of serving do.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    tokens: usize,
    /// From the prompt to the first token.
    pub first: Duration,
    /// From the prompt to the last token.
    pub total: Duration,
}

impl Speed {
    /// Tokens a second after the first one.
    pub fn rate(&self) -> Option<f64> {
        let rest = (self.total - self.first).as_secs_f64();
        (self.tokens > 1 && rest > 0.0).then(|| (self.tokens - 1) as f64 / rest)
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "first token after {:.1} ms, {} tokens", 1e3 * self.first.as_secs_f64(), self.tokens)?;
        self.rate().map_or(Ok(()), |rate| write!(f, ", {rate:.1} tok/s"))
    }
}
