//! What a command that writes one file says with `--json`.

use std::path::Path;

use samp_ir::Diagnostic;
use schemars::JsonSchema;
use serde::Serialize;

use crate::failure::{self, Finding};

/// A file that was written.
#[derive(Serialize, JsonSchema)]
pub struct Written<'a> {
    /// Where it lies.
    file: &'a Path,
    /// Its size.
    bytes: u64,
    warnings: Vec<Finding>,
}

impl<'a> Written<'a> {
    /// The file at a path, which was just written, with the warnings on the way.
    pub fn new(file: &'a Path, warnings: &[Diagnostic]) -> Written<'a> {
        let bytes = std::fs::metadata(file).map_or(0, |written| written.len());
        Written { file, bytes, warnings: failure::warnings(warnings) }
    }
}
