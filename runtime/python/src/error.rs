//! Errors as exceptions.

use pyo3::{create_exception, exceptions::PyRuntimeError, prelude::*};
use samp_runtime::SessionError;

create_exception!(
    samp,
    SampError,
    PyRuntimeError,
    "What samp refuses or cannot do. `code` is what `samp explain` knows, or None."
);

/// The exception of an error, with its code.
pub(crate) fn raised(py: Python<'_>, error: &SessionError) -> PyErr {
    exception(py, error.to_string(), Some(error.code()))
}

/// An exception with a code, or with none.
pub(crate) fn exception(py: Python<'_>, message: String, code: Option<&str>) -> PyErr {
    let exception = SampError::new_err(message);
    match exception.value(py).setattr("code", code) {
        Ok(()) => exception,
        Err(error) => error,
    }
}
