//! What the compiler tells people: one type for every finding, rendered for a terminal or serialised for
//! `--json`.
//!
//! Codes are stable. Each part of the compiler has its own hundred: E01 the graph's text and structure,
//! E02 the verifier's rules, E03 import, E04 recipes, E05 kernels and targets, E06 memory, E07 emission and export,
//! E08 data files and evaluation, E09 what a compile is asked for: limits, budget, KV cache, E10 calibration data,
//! E11 routing. `docs/errors.md` lists them all.

use std::fmt;

use samp_abi::Cause;
use serde::Serialize;

use crate::printable::{printable, printable_line};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Work goes on; someone should know.
    Warning,
    /// Work stops: nothing is written.
    Error,
}

/// Who has to act on a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// The input is wrong: its author has to.
    BadInput,
    /// The input is right but samp does not cover it.
    Unsupported,
    /// The machine refused: whoever runs it has to.
    Environment,
    /// samp broke its own rules: its developers have to.
    CompilerBug,
}

/// Where a finding is: any of a file, an op of the graph and a tensor of the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Location {
    /// File, with line and column where they are known: `config.json` or `case.mlir:4:3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Label of an op, such as `layers.0.self_attn.q_proj`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// Name of a tensor, such as `model.norm.weight`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
}

/// One finding. The message says what was expected and what was found; the hint says what to do.
///
/// ```
/// use samp_ir::Diagnostic;
/// let finding = Diagnostic::bad_input("E0301", "expected shape [64, 64], found [64, 32]")
///     .in_file("model.safetensors")
///     .at_tensor("model.layers.0.self_attn.q_proj.weight")
///     .hint("check num_attention_heads and head_dim in config.json");
/// assert_eq!(
///     finding.to_string(),
///     "error[E0301]: expected shape [64, 64], found [64, 32]\n  \
///      --> model.safetensors, tensor `model.layers.0.self_attn.q_proj.weight`\n  \
///      hint: check num_attention_heads and head_dim in config.json"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Who has to act.
    pub family: Family,
    /// Stable code, `E` and four digits.
    pub code: &'static str,
    /// What was expected and what was found, in one line.
    pub message: String,
    /// Where. Boxed to keep `Result<_, Diagnostic>` small.
    pub location: Box<Location>,
    /// Further facts, one line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    fn new(family: Family, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            family,
            code,
            message: message.into(),
            location: Box::default(),
            notes: Vec::new(),
            hint: None,
        }
    }

    /// An error in what the user gave.
    pub fn bad_input(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Family::BadInput, code, message)
    }

    /// An error for something valid that samp does not cover.
    pub fn unsupported(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Family::Unsupported, code, message)
    }

    /// An error of a file operation: in what the user gave if there is no such file, else of the machine.
    pub fn of_io(code: &'static str, message: impl Into<String>, error: &std::io::Error) -> Diagnostic {
        let family = match Cause::of_io(error.kind()) {
            Cause::Environment => Family::Environment,
            _ => Family::BadInput,
        };
        Diagnostic::new(family, code, message)
    }

    /// An error in samp itself.
    pub fn compiler_bug(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Family::CompilerBug, code, message)
    }

    /// Says the same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Diagnostic {
        self.severity = Severity::Warning;
        self
    }

    /// Says which file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Diagnostic {
        self.location.file = Some(file.into());
        self
    }

    /// Says which file, unless the finding knows more exactly.
    #[must_use]
    pub(crate) fn in_file_unless_known(self, file: &str) -> Diagnostic {
        if self.location.file.is_some() { self } else { self.in_file(file) }
    }

    /// Says which op, by its label.
    #[must_use]
    pub fn at_op(mut self, label: impl Into<String>) -> Diagnostic {
        self.location.op = Some(label.into());
        self
    }

    /// Says which tensor.
    #[must_use]
    pub fn at_tensor(mut self, name: impl Into<String>) -> Diagnostic {
        self.location.tensor = Some(name.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }
}

/// The text as a terminal may be given it, each further line after `line_end`.
fn indented(text: &str, line_end: &str) -> String {
    printable(text).replace('\n', line_end)
}

impl Location {
    fn is_unknown(&self) -> bool {
        self.file.is_none() && self.op.is_none() && self.tensor.is_none()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(file) = &self.file {
            f.write_str(&printable_line(file))?;
            separator = ", ";
        }
        for (kind, name) in [("op", &self.op), ("tensor", &self.tensor)] {
            if let Some(name) = name {
                write!(f, "{separator}{kind} `{}`", printable_line(name))?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

impl fmt::Display for Diagnostic {
    /// Several lines, without a newline at the end. Further lines of a message, a note or a hint are indented under it, so
    /// that none of them looks like a finding of its own; what would lead a terminal is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {}", self.severity, self.code, indented(&self.message, "\n  "))?;
        if !self.location.is_unknown() {
            write!(f, "\n  --> {}", self.location)?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {}", indented(note, "\n        "))?;
        }
        if self.family == Family::CompilerBug {
            f.write_str("\n  note: this is a bug in samp, not in your input")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {}", indented(hint, "\n        "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}
