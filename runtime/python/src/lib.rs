//! `samp-python`: the extension module `samp._samp`. `python/samp` is the package around it, with its type stubs.
//!
//! The interpreter is let go of while anything is computed, so that other threads of Python run meanwhile.
//!
//! Never: LLVM, a decision of its own, or a symbol of one version of Python (it is built for the stable ABI).

mod error;
mod model;
mod prompt;
mod stream;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _samp {
    #[pymodule_export]
    use super::{
        error::SampError,
        model::{Generated, Model, load},
        stream::Stream,
    };

    /// The package's version.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "the name is Python's")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
