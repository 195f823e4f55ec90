//! Why a kernel could not be compiled for the host.

use std::{io, path::PathBuf};

/// Why a kernel could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// There is no C++ compiler.
    #[error(
        "no C++ compiler: `{tried}` cannot be run ({source}); install g++ or clang++, or name one in SAMP_CXX"
    )]
    NoCompiler {
        /// The last one that was tried.
        tried: String,
        /// Why it cannot be run.
        source: io::Error,
    },
    /// The compiler refused the source.
    #[error("{kernel} does not compile for the host:\n{log}")]
    Refused {
        /// The kernel that was to be compiled.
        kernel: &'static str,
        /// What the compiler said.
        log: String,
    },
    /// The text to be replaced is not there once.
    #[error("{file} holds the text to be replaced {found} times instead of once")]
    Edit {
        /// The file that was to be changed.
        file: String,
        /// How often the file holds the text.
        found: usize,
    },
    /// Files could not be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The compiled kernel could not be loaded.
    #[error("{kernel} cannot be loaded: {source}")]
    Load {
        /// The kernel that was to be compiled.
        kernel: &'static str,
        /// What went wrong.
        source: libloading::Error,
    },
}
