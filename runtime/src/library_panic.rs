//! Panics of libraries as errors: some give up on files that make no sense, even ones that they have loaded.

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What `work` gives. A panic in it is an error that names the `library`.
pub fn catch_library_panic<T, E: Display>(
    library: &str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
            Err(format!("the {library} library gave up: {text}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors() {
        assert_eq!(catch_library_panic("x", || Ok::<_, String>(1)), Ok(1));
        assert_eq!(catch_library_panic("x", || Err::<(), _>("no")), Err("no".into()));
        let gave_up = catch_library_panic("x", || -> Result<(), String> { panic!("at {}", 7) });
        assert_eq!(gave_up, Err("the x library gave up: at 7".into()));
    }
}
