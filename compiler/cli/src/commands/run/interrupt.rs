//! Ctrl-C in a conversation: it ends the answer, and where none is being given, the program.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::signals::{self, SIGINT};

static ANSWERING: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// Takes Ctrl-C from now on. A second one during an answer, which the first did not end yet, ends the program.
pub fn install() -> anyhow::Result<()> {
    let pressed = |signal| {
        if !ANSWERING.load(SeqCst) || ASKED.swap(true, SeqCst) {
            std::process::exit(signals::exit_code(signal));
        }
    };
    signals::hear(&[SIGINT], pressed)
}

/// Gives an answer, which [`asked`] may end.
pub fn during<T>(answer: impl FnOnce() -> T) -> T {
    ASKED.store(false, SeqCst);
    ANSWERING.store(true, SeqCst);
    let given = answer();
    ANSWERING.store(false, SeqCst);
    given
}

/// Whether Ctrl-C was pressed since the answer began.
pub fn asked() -> bool {
    ASKED.load(SeqCst)
}
