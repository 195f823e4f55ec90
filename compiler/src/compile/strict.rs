//! Warnings that stop a compile, where that is asked for.

use samp_ir::Diagnostic;

use super::error::CompileError;
use crate::error_code;

/// Refuses warnings, if there are any: each is a note.
pub fn refuse_warnings<'a>(warnings: impl IntoIterator<Item = &'a Diagnostic>) -> Result<(), CompileError> {
    let said: Vec<String> = warnings.into_iter().map(summary).collect();
    if said.is_empty() {
        return Ok(());
    }
    let message = format!("--strict: expected no warning, found {}", said.len());
    let refused = said.into_iter().fold(Diagnostic::bad_input(error_code::STRICT, message), Diagnostic::note);
    Err(refused.hint("do what each asks for, or compile without --strict").into())
}

/// A warning in one line.
fn summary(warning: &Diagnostic) -> String {
    let file = warning.location.file.as_ref().map_or_else(String::new, |file| format!(", {file}"));
    format!("warning[{}]: {}{file}", warning.code, warning.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_refused_together() {
        assert!(refuse_warnings([]).is_ok());
        let warn = |code| Diagnostic::bad_input(code, "expected more").warning().in_file("data.jsonl");
        let warnings = [warn(error_code::FEW_HELD_OUT), warn(error_code::OVERLAP)];
        let refused = refuse_warnings(&warnings).unwrap_err();
        let finding = refused.finding().unwrap();
        assert_eq!(
            (finding.code, finding.message.as_str()),
            ("E0905", "--strict: expected no warning, found 2")
        );
        assert_eq!(finding.notes[1], "warning[E1014]: expected more, data.jsonl");
    }
}
