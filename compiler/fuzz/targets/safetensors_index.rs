//! The index of a sharded checkpoint: refused in words, or file names that lead nowhere else.
#![no_main]

#[path = "../entry.rs"]
mod entry;

use libfuzzer_sys::fuzz_target;
use samp_compiler::import::parse_index;

fuzz_target!(|data: &[u8]| {
    if let Ok(index) = parse_index(data) {
        assert!(index.values().all(|file| !file.contains(['/', '\\', '\0']) && !file.starts_with('.')));
    }
});
