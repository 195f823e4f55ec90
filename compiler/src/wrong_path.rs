//! Paths that lead to something else than was wanted, as findings.

use std::path::Path;

use samp_ir::Diagnostic;
use samp_runtime::path_kind::{PathKind, Wanted, WrongPath, expect};

use crate::error_code;

/// Looks at a path; refuses it with `code` unless it leads to what is wanted.
pub fn expect_path(path: &Path, wanted: Wanted, code: &'static str) -> Result<PathKind, Diagnostic> {
    expect(path, wanted).map_err(|wrong| finding(wrong, code))
}

fn finding(wrong: WrongPath, code: &'static str) -> Diagnostic {
    let code = if wrong.environment { error_code::UNREACHABLE } else { code };
    Diagnostic::bad_input(code, format!("expected {}, found {}", wrong.expected, wrong.found))
        .in_file(wrong.given.display().to_string())
        .hint(wrong.hint)
}
