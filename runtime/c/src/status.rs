//! How a call ended.

use samp_abi::Cause;
use samp_runtime::SessionError;

/**
 * How a call ended. samp_last_error says the rest.
 */
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum samp_status {
    /**
     * All is done.
     */
    Ok = 0,
    /**
     * The answer is no: the plan is not the one whose digest was given.
     */
    Refused = 1,
    /**
     * A wrong argument, a plan that is not one, a prompt that does not fit.
     */
    BadInput = 2,
    /**
     * The machine lacks something: memory, threads, a GPU.
     */
    Environment = 3,
    /**
     * A defect of samp. The session computes nothing any more; free it.
     */
    Bug = 4,
}

/// A failed call: its status, the code of the error where it has one, and a sentence.
pub(crate) struct Failure {
    pub status: samp_status,
    pub code: &'static str,
    pub message: String,
}

impl Failure {
    /// An argument that cannot be used.
    pub fn argument(message: impl Into<String>) -> Failure {
        Failure { status: samp_status::BadInput, code: "", message: message.into() }
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Failure {
        let status = match error.cause() {
            Cause::Refusal => samp_status::Refused,
            Cause::Input => samp_status::BadInput,
            Cause::Environment => samp_status::Environment,
            Cause::Bug => samp_status::Bug,
        };
        Failure { status, code: error.code(), message: error.to_string() }
    }
}
