//! A difference between two plans, for people and as JSON.

use samp_compiler::lower::size::Bytes;
use serde::Serialize;

/// One difference: what is said of, and what each plan says.
#[derive(Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Change {
    /// The tensor, step, file or field.
    pub subject: String,
    /// Which of its properties; empty where there is but one.
    pub what: String,
    /// What the first plan says.
    pub a: String,
    /// What the second plan says.
    pub b: String,
    /// Bytes of the second plan less those of the first, where bytes are what changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i128>,
}

impl Change {
    /// A difference that is not one of bytes.
    pub fn new(subject: &str, what: &str, a: impl ToString, b: impl ToString) -> Change {
        Change { subject: subject.into(), what: what.into(), a: a.to_string(), b: b.to_string(), bytes: None }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.what.is_empty() { String::new() } else { format!("{} ", self.what) };
        write!(f, "{} {what}{}→{}", self.subject, self.a, self.b)?;
        match self.bytes {
            Some(bytes) => write!(f, ", {}", signed(bytes)),
            None => Ok(()),
        }
    }
}

/// `+12.1 MB`, `−12.1 MB`.
fn signed(bytes: i128) -> String {
    let sign = if bytes < 0 { '−' } else { '+' };
    format!("{sign}{}", Bytes(bytes.unsigned_abs().min(u128::from(u64::MAX)) as u64))
}
