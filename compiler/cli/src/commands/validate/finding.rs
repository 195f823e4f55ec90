//! A fault of a plan, for people and as JSON.

use serde_json::{Value, json};

use crate::identity::IdentityError;

/// What was found: for people, and as JSON.
pub struct Finding {
    /// The line that is printed.
    pub line: String,
    /// What `--json` says instead.
    pub json: Value,
}

impl Finding {
    /// A finding that this command makes itself.
    pub fn new(code: &str, file: &str, problem: String) -> Finding {
        let json = json!({ "code": code, "file": file, "problem": problem });
        Finding { line: format!("{}: {problem}", file.escape_debug()), json }
    }
}

impl From<&IdentityError> for Finding {
    fn from(difference: &IdentityError) -> Finding {
        let (code, file) = (difference.kind(), difference.file());
        let line = difference.to_string();
        let problem = line.strip_prefix(&format!("{file}: ")).unwrap_or(&line).to_owned();
        Finding::new(code, file, problem)
    }
}
