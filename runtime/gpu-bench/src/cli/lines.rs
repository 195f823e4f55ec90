//! What is heard of the work, as lines.

use samp_runtime::Progress;

/// Prints each note on standard output, where supervisors read it.
pub struct Lines;

impl Progress for Lines {
    fn note(&self, text: &str) {
        println!("{text}");
    }
}

/// Prints each note on standard error, beside results.
pub struct ErrorLines;

impl Progress for ErrorLines {
    fn note(&self, text: &str) {
        eprintln!("{text}");
    }
}
