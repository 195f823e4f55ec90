//! An answer on its way, as a Python iterator.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use samp_runtime::{Generation, SessionError};

use crate::{error::raised, model::finish_name};

/// An answer on its way: an iterator over pieces of text, never half a character.
#[pyclass(frozen, module = "samp")]
pub(crate) struct Stream(Mutex<Generation>);

impl Stream {
    pub fn new(generation: Generation) -> Stream {
        Stream(Mutex::new(generation))
    }

    /// Held by one thread at a time. Whoever waits for it has let go of the interpreter.
    fn generation(&self) -> MutexGuard<'_, Generation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of the next token; maybe none yet.
    fn advance(&self) -> Option<Result<String, SessionError>> {
        self.generation().next().map(|delta| delta.map(|delta| delta.text))
    }
}

#[pymethods]
impl Stream {
    fn __iter__(this: Py<Stream>) -> Py<Stream> {
        this
    }

    /// The next piece of text. After each token Ctrl-C is heard.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        loop {
            py.check_signals()?;
            match py.detach(|| self.advance()) {
                None => return Ok(None),
                Some(Err(error)) => return Err(raised(py, &error)),
                Some(Ok(text)) if text.is_empty() => {}
                Some(Ok(text)) => return Ok(Some(text)),
            }
        }
    }

    /// The tokens so far.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> Vec<u32> {
        py.detach(|| self.generation().tokens().to_vec())
    }

    /// Why it ended, once it has.
    #[getter]
    fn finish(&self, py: Python<'_>) -> Option<&'static str> {
        py.detach(|| self.generation().finish().map(finish_name))
    }

    /// Ends it, and gives its room in the cache back. So does dropping it.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.generation().close());
    }

    fn __enter__(this: Py<Stream>) -> Py<Stream> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.close(py);
    }
}
