//! Any error as what the command says of it: a code, a message, a place, notes and a hint, for people or as JSON.

use std::{error::Error, fmt, io};

use samp_abi::Cause;
use samp_compiler::{
    certificate::ProfileWriteError,
    compile::CompileError,
    emit::{CodeError, EmitError},
    eval::EvalError,
    lower::QualityPassError,
    quantize::QuantizeError,
};
use samp_ir::{Diagnostic, Location, Severity};
use samp_nvrtc::NvrtcError;
use samp_runtime::{
    ChatError, DeviceError, EngineError, GenerateError, OutOfPages, PlanError, PublicKeyError, SamplingError,
    SessionError, SignatureError, ThreadsError, TokenizerError, bench::BenchError,
};

use crate::{commands::SignError, error_code, error_table::find_code, identity::IdentityError};

/// Codes of files that samp keeps for itself where nobody named a path: whatever keeps it from them, it is not the input.
const OWN_FILES: [&str; 2] = [samp_nvrtc::error_code::CODE_CACHE, samp_compiler::error_code::WORK_FILES];

/// What the command has to say of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why it came about; it decides the exit code.
    pub cause: Cause,
    /// Code, message, location, notes and hint.
    pub finding: Diagnostic,
}

impl Failure {
    /// An error of the command itself, whose cause the table of codes says.
    pub fn new(code: &'static str, message: impl Into<String>) -> Failure {
        Failure::from(Diagnostic::bad_input(code, message))
    }

    /// Says which file.
    #[must_use]
    pub fn in_file(self, file: impl Into<String>) -> Failure {
        Failure { finding: self.finding.in_file(file), ..self }
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Failure {
        Failure { finding: self.finding.note(note), ..self }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { finding: self.finding.hint(hint), ..self }
    }

    /// What to say of an error that a command ended with. The texts of its chain of causes are one message, each said
    /// once; the first of them with a code gives the code, the place and the hint.
    pub fn of(error: &anyhow::Error) -> Failure {
        let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
        let mut failure = match error.chain().find_map(known) {
            Some(known) => known,
            None if io.is_some() => Failure::new(error_code::FILE, ""),
            None => Failure::new(error_code::UNEXPECTED, ""),
        };
        if let Some(io) = io
            && failure.cause != Cause::Bug
            && !OWN_FILES.contains(&failure.finding.code)
        {
            failure.cause = Cause::of_io(io.kind());
        }
        failure.finding.message = message(error.chain());
        failure.marked()
    }

    /// What to say of a panic.
    pub fn of_panic(message: &str, place: &str) -> Failure {
        Failure::new(error_code::PANIC, format!("samp panicked: {message}"))
            .note(format!("at {place}, samp {}", env!("CARGO_PKG_VERSION")))
            .hint("please report it with the command line and the output of `samp doctor`")
            .marked()
    }

    /// Bugs are said to be bugs.
    fn marked(mut self) -> Failure {
        if self.cause == Cause::Bug {
            self.finding.family = samp_ir::Family::CompilerBug;
        }
        self
    }

    /// The failure as the JSON document of a command.
    pub fn document(&self) -> ErrorDocument {
        ErrorDocument { error: Finding::from(&self.finding) }
    }
}

impl From<Diagnostic> for Failure {
    fn from(finding: Diagnostic) -> Failure {
        let cause = match finding.family {
            samp_ir::Family::CompilerBug => Cause::Bug,
            samp_ir::Family::Environment => Cause::Environment,
            _ => find_code(finding.code).map_or(Cause::Bug, |entry| entry.cause),
        };
        Failure { cause, finding }
    }
}

impl fmt::Display for Failure {
    /// Several lines, as a diagnostic's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.finding.fmt(f)
    }
}

impl Error for Failure {}

/// The failure that an error of a library, or of the command, stands for; its message is filled in by the caller.
fn known(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.clone());
    }
    if let Some(finding) = finding(error) {
        return Some(Failure::from(finding.clone()));
    }
    if let Some(fault) = fault(error) {
        return Some(Failure::from(of_fault(fault)));
    }
    code(error).map(|code| Failure::new(code, ""))
}

/// The diagnostic that an error carries.
fn finding<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Diagnostic> {
    if let Some(error) = error.downcast_ref::<CompileError>() {
        return error.finding();
    }
    match (error.downcast_ref::<EmitError>(), error.downcast_ref::<QuantizeError>()) {
        (Some(EmitError::Import(finding)), _) | (_, Some(QuantizeError::Finding(finding))) => Some(finding),
        _ => error.downcast_ref::<Diagnostic>(),
    }
}

/// The fault of a plan that an error carries.
fn fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a PlanError> {
    match error.downcast_ref::<EmitError>() {
        Some(EmitError::Plan(fault)) => Some(fault),
        _ => error.downcast_ref::<PlanError>(),
    }
}

/// A fault of a plan as a diagnostic.
pub fn of_fault(fault: &PlanError) -> Diagnostic {
    Diagnostic::bad_input(fault.code(), fault.message()).in_file(&fault.file).hint(fault.remedy())
}

/// The code of an error of a library.
fn code(error: &(dyn Error + 'static)) -> Option<&'static str> {
    macro_rules! first_code {
        ($($error:ty),* $(,)?) => {
            $(if let Some(error) = error.downcast_ref::<$error>() {
                return Some(error.code());
            })*
        };
    }
    first_code!(
        CompileError,
        QuantizeError,
        EmitError,
        CodeError,
        ProfileWriteError,
        EvalError,
        BenchError,
        QualityPassError,
        NvrtcError,
        EngineError,
        DeviceError,
        OutOfPages,
        GenerateError,
        SamplingError,
        TokenizerError,
        ChatError,
        SignatureError,
        PublicKeyError,
        ThreadsError,
        SessionError,
        IdentityError,
        SignError,
    );
    None
}

/// The texts of a chain of causes. One that the text before it says already is left out.
fn message<'a>(chain: impl Iterator<Item = &'a (dyn Error + 'static)>) -> String {
    let mut message = String::new();
    for error in chain {
        let text = text(error);
        if !message.contains(&text) {
            let separator = if message.is_empty() { "" } else { ": " };
            message += &format!("{separator}{text}");
        }
    }
    message
}

/// What an error says on its own: of a diagnostic and of a fault without what is shown beside the message.
fn text(error: &(dyn Error + 'static)) -> String {
    let failure = error.downcast_ref::<Failure>().map(|failure| &failure.finding);
    match (failure.or(finding(error)), fault(error)) {
        (Some(finding), _) => finding.message.clone(),
        (None, Some(fault)) => fault.message(),
        (None, None) => error.to_string(),
    }
}

/// A finding as JSON: of an error, of a warning, or of `samp validate`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// `E` and four digits; `samp explain` says more.
    pub code: String,
    /// What was expected and what was found.
    pub message: String,
    /// Where, as far as it is known.
    pub location: Option<Place>,
    /// Further facts.
    pub notes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Where a finding is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Place {
    /// File, with line and column where they are known.
    pub file: Option<String>,
    /// Label of an op of the graph.
    pub op: Option<String>,
    /// Name of a tensor.
    pub tensor: Option<String>,
}

/// What a command that failed prints with `--json`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct ErrorDocument {
    /// The error.
    pub error: Finding,
}

impl From<&Diagnostic> for Finding {
    fn from(finding: &Diagnostic) -> Finding {
        let Location { file, op, tensor } = *finding.location.clone();
        let known = file.is_some() || op.is_some() || tensor.is_some();
        Finding {
            code: finding.code.into(),
            message: finding.message.clone(),
            location: known.then_some(Place { file, op, tensor }),
            notes: finding.notes.clone(),
            hint: finding.hint.clone(),
        }
    }
}

/// Warnings as JSON.
pub fn warnings(findings: &[Diagnostic]) -> Vec<Finding> {
    findings.iter().filter(|finding| finding.severity == Severity::Warning).map(Finding::from).collect()
}

#[cfg(test)]
mod tests;
