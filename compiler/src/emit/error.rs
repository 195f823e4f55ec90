//! Why a plan or an exported checkpoint was not written.

use std::{io, path::PathBuf};

use samp_abi::Cause;
use samp_ir::Diagnostic;
use samp_kernels::format::EncodeError;
use samp_nvrtc::NvrtcError;
use samp_runtime::{EngineError, PlanError, ThreadsError, plan::code::NoKernel};

use crate::error_code;

const NOT_BEGUN: &str = "nothing was written; make room, or choose another output";
const KEPT: &str =
    "no output was made; the finished tensors are kept: make room, and the same command continues from them";

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// A kernel was chosen that does not take the step's shapes.
    #[error("{0}; choose another format for it with --recipe, or another target")]
    NoKernel(#[from] NoKernel),
    /// The compiler is missing or refused.
    #[error(transparent)]
    Compiler(#[from] NvrtcError),
    /// Code that would run slower than it was written to.
    #[error("kernel {path} takes {}: this is a bug in samp, please report it", faults.join(", "))]
    Faulty {
        /// The code's file.
        path: String,
        /// What is wrong with it.
        faults: Vec<String>,
    },
    /// Threads could not be started.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
}

impl ProbeError {
    /// The code of what the machine lacked, where that is why the plan did not run.
    fn environment(&self) -> Option<&'static str> {
        let code = match self {
            ProbeError::Plan(fault) => fault.code(),
            ProbeError::Engine(refusal) => refusal.code(),
            ProbeError::Shape | ProbeError::NotFinite | ProbeError::Overflow { .. } => return None,
        };
        samp_runtime::error_code::cause(code).filter(|cause| *cause == Cause::Environment).map(|_| code)
    }

    /// Who has to act.
    fn blame(&self) -> &'static str {
        match (self, self.environment()) {
            (ProbeError::Overflow { .. }, _) => {
                "a recipe with bf16 in place of f16 has it keep them in bf16, which reaches as far as f32"
            }
            (_, Some(_)) => "the same command goes on from there",
            (_, None) => "this is a bug in samp, please report it",
        }
    }
}

impl CodeError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            CodeError::NoKernel(_) => samp_passes::error_code::NO_KERNEL_FOR_SHAPE,
            CodeError::Compiler(refusal) => refusal.code(),
            CodeError::Faulty { .. } => error_code::MACHINE_CODE,
            CodeError::Threads(refusal) => refusal.code(),
        }
    }
}

/// Why a new plan failed its probe.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The plan does not open.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan opens and does not run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The number of rows or their width is wrong.
    #[error("it gave logits of another shape than was asked for")]
    Shape,
    /// A logit is infinite or not a number.
    #[error("it gave logits that are not finite")]
    NotFinite,
    /// A result is larger than f16 holds, which the target stores it in.
    #[error("`{step}` gives {largest:.3e}, and the target keeps its results in f16, up to 65504")]
    Overflow {
        /// The step.
        step: String,
        /// The largest magnitude that it gives.
        largest: f32,
    },
}

/// Why emission stopped. Unless the message says otherwise, nothing stands at the target.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// The target is there and replacing it was not asked for.
    #[error("{0} exists; choose another output, or pass --force to replace it")]
    Exists(PathBuf),
    /// The target is there, but it is not what this command writes.
    #[error(
        "{path} is not {expected}; --force replaces nothing else: remove it yourself, or choose another output"
    )]
    NotReplaceable {
        /// Where the output was to go.
        path: PathBuf,
        /// What would be replaced.
        expected: &'static str,
    },
    /// The target is what this command writes, and holds what it did not write.
    #[error(
        "{path} is {expected} and holds what is not its own: {}; --force would delete that: move it away, or choose \
         another output",
        shown(foreign)
    )]
    ForeignFiles {
        /// Where the output was to go.
        path: PathBuf,
        /// What would be replaced.
        expected: &'static str,
        /// What would be lost, relative to `path`.
        foreign: Vec<String>,
    },
    /// The target has no name or no parent folder.
    #[error("{0} cannot be an output folder: {1}")]
    BadTarget(PathBuf, String),
    /// Another process writes to the same target.
    #[error(
        "another process{} is writing {output}; wait for it, or choose another output",
        numbered(process)
    )]
    Locked {
        /// Where both outputs were to go.
        output: PathBuf,
        /// The other's number, if it is known.
        process: Option<u32>,
    },
    /// The disk has not enough space, or ran full.
    #[error("{path} still needs {needed} bytes of disk, {free} are free; {}", if *begun { KEPT } else { NOT_BEGUN })]
    NoSpace {
        /// Where the output was to go.
        path: PathBuf,
        /// Bytes that writing it still takes.
        needed: u64,
        /// Bytes that were free.
        free: u64,
        /// Whether there is work that a later run can continue from.
        begun: bool,
    },
    /// The specification and the checkpoint do not fit each other.
    #[error("tensor `{tensor}`: expected {expected}, found {found}")]
    Mismatch {
        /// The plan's or the checkpoint's tensor.
        tensor: String,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The format needs activation statistics.
    #[error(
        "tensor `{0}`: int8_outliers needs activation statistics to choose its outlier columns, and there are none; \
         calibrate with --calib and int8_outliers in --formats, or use int8"
    )]
    OutlierStatistics(String),
    /// A tensor has transforms that only calibration carries out.
    #[error("tensor `{0}` is to be transformed, and nothing was: this is a bug in samp, please report it")]
    NotRounded(String),
    /// A tensor cannot be encoded.
    #[error("tensor `{tensor}`: {source}; choose another format for it")]
    Encode {
        /// The name of the tensor in the plan.
        tensor: String,
        /// What the format refuses.
        source: EncodeError,
    },
    /// The checkpoint holds a value that no weight has.
    #[error(
        "`{source_name}` holds {value} at row {row}, column {col}: the checkpoint is damaged; fetch it again, or save it again"
    )]
    NotFinite {
        /// The tensor in the checkpoint.
        source_name: String,
        /// The row in it.
        row: u64,
        /// The column.
        col: usize,
        /// NaN, or an infinity.
        value: f32,
    },
    /// Codes that another tool stored cannot be kept together.
    #[error("tensor `{tensor}` cannot be kept as it is stored: {why}; round it anew with --requantize")]
    NotKept {
        /// The name of the tensor in the plan.
        tensor: String,
        /// Why not.
        why: String,
    },
    /// Import found fault with the checkpoint.
    #[error(transparent)]
    Import(#[from] Diagnostic),
    /// The probe of the new plan failed, or the machine could not run it.
    #[error("the new plan does not run on its probe: {0}; {blame} (the packed weights are kept)", blame = .0.blame())]
    Probe(#[from] ProbeError),
    /// Threads could not be started.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    /// The caller's progress asked to stop.
    #[error("interrupted; the finished tensors are kept, the same command continues from them")]
    Interrupted,
    /// A file could not be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried, such as `writing`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernels' machine code could not be made.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The plan that is to be exported does not open.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan that is to be exported lacks something.
    #[error("{path} cannot be exported: {why}; compile the model again")]
    NotExportable {
        /// The folder of the plan.
        path: PathBuf,
        /// What it lacks.
        why: String,
    },
}

impl EmitError {
    /// Stable code for people, `E07` and two digits; what comes from elsewhere keeps its own.
    pub fn code(&self) -> &'static str {
        match self {
            EmitError::Exists(_) => error_code::OUTPUT_EXISTS,
            EmitError::NotReplaceable { .. } => error_code::NOT_REPLACEABLE,
            EmitError::ForeignFiles { .. } => error_code::FOREIGN_FILES,
            EmitError::BadTarget(..) => error_code::BAD_OUTPUT,
            EmitError::Locked { .. } => error_code::LOCKED,
            EmitError::NoSpace { .. } => error_code::NO_SPACE,
            EmitError::Mismatch { .. } => error_code::TENSOR_MISMATCH,
            EmitError::OutlierStatistics(_) => error_code::OUTLIER_STATISTICS,
            EmitError::Encode { .. } | EmitError::NotFinite { .. } => error_code::ENCODE,
            EmitError::NotKept { .. } => error_code::KEPT_OR_REQUANTIZED,
            EmitError::Import(finding) => finding.code,
            EmitError::Probe(ProbeError::Overflow { .. }) => error_code::ACTIVATIONS_OVERFLOW,
            EmitError::Probe(failed) => failed.environment().unwrap_or(error_code::PROBE),
            EmitError::Threads(refusal) => refusal.code(),
            EmitError::Interrupted => error_code::INTERRUPTED,
            EmitError::Io { .. } => error_code::IO,
            EmitError::Plan(fault) => fault.code(),
            EmitError::NotExportable { .. } => error_code::NOT_EXPORTABLE,
            EmitError::Code(refusal) => refusal.code(),
            EmitError::NotRounded(_) => error_code::NOT_ROUNDED,
        }
    }

    /// Whether the same call, made again, may succeed and continue from what was finished.
    pub fn can_continue(&self) -> bool {
        use EmitError::{Interrupted, Io, NoSpace, Probe, Threads};
        matches!(self, Interrupted | Probe(_) | Threads(_) | NoSpace { begun: true, .. } | Io { .. })
    }
}

/// A process by its number, where that is known.
fn numbered(process: &Option<u32>) -> String {
    process.map_or(String::new(), |number| format!(" ({number})"))
}

/// The first few names, and how many more there are.
fn shown(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let first: Vec<String> = names.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    first.join(", ") + &more
}

/// Adds what was tried on which file to an I/O error.
pub(crate) trait During<T> {
    fn during(self, action: &'static str, path: &std::path::Path) -> Result<T, EmitError>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, action: &'static str, path: &std::path::Path) -> Result<T, EmitError> {
        self.map_err(|e| EmitError::Io { action, path: path.into(), source: e.into() })
    }
}
