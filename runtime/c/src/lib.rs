//! `samp-c`: the runtime behind a C ABI. `include/samp.h` is made of this crate by cbindgen.
//!
//! Each function checks its pointers, catches panics, and answers with a status; what went wrong is kept for the calling
//! thread. Structures that callers fill begin with their size, so that fields can be added behind those that are there.
//!
//! Never: LLVM, a symbol that does not begin with `samp_`, or a panic that crosses into the caller.

#![allow(non_camel_case_types, reason = "the names are those of the header")]

mod arguments;
mod generate;
mod last_error;
mod options;
mod session;
mod status;

pub use generate::*;
pub use last_error::*;
pub use options::*;
pub use session::*;
pub use status::*;
