//! A fault of a plan, for people and as JSON.

use samp_ir::Diagnostic;
use samp_runtime::PlanError;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{failure, identity::IdentityError};

/// What was found: for people, and as JSON.
pub struct Finding {
    /// The line that is printed.
    pub line: String,
    /// What `--json` says instead.
    pub json: Entry,
}

/// A finding as JSON, in the shape of an error.
#[derive(Serialize, JsonSchema)]
pub struct Entry {
    #[serde(flatten)]
    finding: failure::Finding,
    /// The kind of fault of a plan that does not open, or of a plan that is not the expected one.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
}

impl Finding {
    /// A finding that this command makes itself.
    pub fn new(code: &'static str, file: &str, problem: String) -> Finding {
        let line = format!("error[{code}]: {}: {problem}", file.escape_debug());
        let finding = failure::Finding::from(&Diagnostic::bad_input(code, problem).in_file(file));
        Finding { line, json: Entry { finding, fault: None } }
    }
}

impl Entry {
    /// The code of the finding.
    #[cfg(test)]
    pub fn code(&self) -> &str {
        &self.finding.code
    }
}

impl From<&PlanError> for Finding {
    fn from(fault: &PlanError) -> Finding {
        let finding = failure::Finding::from(&failure::of_fault(fault));
        Finding {
            line: format!("error[{}]: {fault}", fault.code()),
            json: Entry { finding, fault: Some(fault.fault.name()) },
        }
    }
}

impl From<&IdentityError> for Finding {
    fn from(difference: &IdentityError) -> Finding {
        let file = difference.file();
        let line = difference.to_string();
        let problem = line.strip_prefix(&format!("{file}: ")).unwrap_or(&line).to_owned();
        let mut finding = Finding::new(difference.code(), file, problem);
        finding.json.fault = Some(difference.kind());
        finding
    }
}
