//! Paths that lead to something else than was wanted, as findings.

use std::path::Path;

use samp_ir::Diagnostic;
use samp_runtime::path_kind::{PathKind, Wanted, WrongPath, expect, quoted};

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

/// Refuses the path of a file that is to be written, where it is a folder's: before the work, not after it.
pub fn expect_no_folder(path: &Path) -> Result<(), Diagnostic> {
    if path.is_dir() {
        return Err(bad_output(
            path,
            "a folder",
            format!("name a file in it: {}", quoted(&path.join("NAME"))),
        ));
    }
    Ok(())
}

/// As [`expect_no_folder`]; refuses also where the folder that is to hold the file is not there.
pub fn expect_writable_file(path: &Path) -> Result<(), Diagnostic> {
    expect_no_folder(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let found = format!("that the folder {} is not there", folder.display());
        return Err(bad_output(path, &found, format!("make it first: mkdir -p {}", quoted(folder))));
    }
    Ok(())
}

fn bad_output(path: &Path, found: &str, hint: String) -> Diagnostic {
    let message = format!("expected the path of a file to write, found {found}");
    Diagnostic::bad_input(error_code::BAD_OUTPUT, message).in_file(path.display().to_string()).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_without_a_folder_are_refused_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| expect_writable_file(path).unwrap_err().to_string();
        let shown = refused(&dir.path().join("none/report.html"));
        let folder = dir.path().join("none");
        assert!(
            shown.contains("E0712") && shown.contains(&format!("mkdir -p {}", folder.display())),
            "{shown}"
        );
        let shown = refused(dir.path());
        assert!(shown.contains("found a folder") && shown.contains("NAME"), "{shown}");
        expect_writable_file(&dir.path().join("report.html")).unwrap();
        expect_writable_file(Path::new("report.html")).unwrap();
    }
}
