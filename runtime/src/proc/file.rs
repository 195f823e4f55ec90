//! The files in which Linux says it.

use std::path::Path;

use crate::outside_file::read_regular_text;

/// More bytes than any of the files has, also with a line for each of many processors and interrupts.
const MAX_BYTES: u64 = 1 << 20;

/// The text of a file; `None` where it cannot be read.
pub fn read(path: &str) -> Option<String> {
    read_regular_text(Path::new(path), MAX_BYTES).ok()
}
