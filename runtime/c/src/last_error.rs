//! The last failure of each thread, and the wall that every call stands behind.

use std::{
    cell::RefCell,
    ffi::{CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::status::{Failure, samp_status};

#[derive(Default)]
struct LastError {
    message: CString,
    code: CString,
}

thread_local! {
    static LAST: RefCell<LastError> = RefCell::default();
}

/**
 * What went wrong in the last call of this thread that did not return SAMP_STATUS_OK, as a sentence in UTF-8; empty if none
 * did. Belongs to samp, and is valid until the next failure on this thread. Never NULL.
 */
#[unsafe(no_mangle)]
pub extern "C" fn samp_last_error() -> *const c_char {
    LAST.with_borrow(|last| last.message.as_ptr())
}

/**
 * The code of that error, such as E1301, which `samp explain` knows; empty if it has none. As samp_last_error otherwise.
 */
#[unsafe(no_mangle)]
pub extern "C" fn samp_last_error_code() -> *const c_char {
    LAST.with_borrow(|last| last.code.as_ptr())
}

/// Runs a call: its failure is kept for the thread, and a panic in it is one, too.
pub(crate) fn call(work: impl FnOnce() -> Result<(), Failure>) -> samp_status {
    let failure = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return samp_status::Ok,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
            let message = format!("samp gave up: {text}; this is a defect, please report it");
            Failure { status: samp_status::Bug, code: "", message }
        }
    };
    let text = |text: &str| CString::new(text.replace('\0', "\u{FFFD}")).unwrap_or_default();
    LAST.set(LastError { message: text(&failure.message), code: text(failure.code) });
    failure.status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        LAST.with_borrow(|last| last.message.clone()).into_string().unwrap()
    }

    #[test]
    fn a_panic_is_a_status() {
        assert_eq!(call(|| panic!("at {}", 7)), samp_status::Bug);
        assert!(last().contains("at 7"), "{}", last());
    }

    #[test]
    fn a_failure_is_kept_for_its_thread_alone() {
        assert_eq!(call(|| Err(Failure::argument("a\0b"))), samp_status::BadInput);
        assert_eq!(last(), "a\u{FFFD}b");
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
        assert_eq!(call(|| Ok(())), samp_status::Ok);
        assert_eq!(last(), "a\u{FFFD}b", "a success changes nothing");
    }
}
