//! Panics of libraries as errors: some give up on files that make no sense, even ones that they have loaded.

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What a library makes of input that it does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// It returned an error, whose text this is.
    #[error("{0}")]
    Refused(String),
    /// It panicked.
    #[error("the {library} library gave up: {text}")]
    Panicked {
        /// Name of the library.
        library: &'static str,
        /// What it said, as far as it said anything.
        text: String,
    },
}

/// What `work` gives. A panic in it is an error that names the `library`.
pub fn catch_library_panic<T, E: Display>(
    library: &'static str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, LibraryError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|e| LibraryError::Refused(e.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
            Err(LibraryError::Panicked { library, text: text.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors() {
        assert_eq!(catch_library_panic("x", || Ok::<_, String>(1)), Ok(1));
        let refused = catch_library_panic("x", || Err::<(), _>("no")).unwrap_err();
        assert_eq!(refused.to_string(), "no");
        let gave_up = catch_library_panic("x", || -> Result<(), LibraryError> { panic!("at {}", 7) });
        assert_eq!(gave_up.unwrap_err().to_string(), "the x library gave up: at 7");
    }
}
