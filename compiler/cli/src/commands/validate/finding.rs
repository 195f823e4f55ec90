//! A fault of a plan, for people and as JSON.

use serde_json::{Value, json};

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
        Finding { line: format!("{file}: {problem}"), json }
    }
}
