//! Why a kernel has no prediction.

use std::path::PathBuf;

use samp_abi::TargetName;

/// Why a kernel has no prediction.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The disassembler did not do its work.
    #[error("{} gave no disassembly: {reason}", tool.display())]
    Disassembler {
        /// The program.
        tool: PathBuf,
        /// What it or the system said.
        reason: String,
    },
    /// The code has no loop that the model could follow.
    #[error("no loop of the code {0}")]
    Loop(&'static str),
    /// The target is no GPU that the model has timings of.
    #[error("the model has no timings of {0}")]
    Target(TargetName),
    /// A block takes more than a multiprocessor has.
    #[error("no block fits a multiprocessor")]
    DoesNotFit,
}
