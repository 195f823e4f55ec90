//! An answer on stdout as it comes, and how fast it came.

use std::{
    io::Write,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use samp_runtime::Delta;

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
        let mut out = std::io::stdout().lock();
        match out.write_all(delta.text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Ends the stream: how fast `tokens` came, if any did.
    pub fn finish(self, tokens: usize) -> anyhow::Result<Option<String>> {
        let total = self.started.elapsed();
        match self.failed {
            Some(error) => Err(error.into()),
            None => Ok(self.first_token.map(|first| speed(tokens, first, total))),
        }
    }
}

/// The first token is kept apart from the rate of the rest, as benchmarks of serving do.
fn speed(tokens: usize, first: Duration, total: Duration) -> String {
    let rest = (total - first).as_secs_f64();
    let rate = if tokens > 1 && rest > 0.0 {
        format!(", {:.1} tok/s", (tokens - 1) as f64 / rest)
    } else {
        String::new()
    };
    format!("first token after {:.1} ms, {tokens} tokens{rate}", 1e3 * first.as_secs_f64())
}
