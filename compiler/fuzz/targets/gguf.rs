//! A GGUF file: refused in words, or metadata that a configuration and a tokenizer can be made of.
#![no_main]

#[path = "../entry.rs"]
mod entry;

use libfuzzer_sys::fuzz_target;
use samp_compiler::import::check_gguf;
use samp_ir::Severity;

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = check_gguf(data, "model.gguf") {
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.location.file.is_some());
    }
});
