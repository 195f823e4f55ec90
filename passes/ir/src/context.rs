//! The MLIR context that modules live in.

use std::{fmt, rc::Rc};

use crate::raw;

/// Types, attributes and the dialect, shared by the modules made from it. Cheap to clone; belongs to one
/// thread. Making one loads the dialect, which takes about a millisecond.
#[derive(Clone)]
pub struct Context(pub(crate) Rc<melior::Context>);

impl Context {
    /// A context that knows the `samp` dialect.
    pub fn new() -> Context {
        Context(Rc::new(raw::new_context()))
    }

    /// The text that defines the dialect, as `mlir-opt --irdl-file` reads it.
    pub const fn dialect() -> &'static str {
        raw::DIALECT
    }
}

impl Default for Context {
    fn default() -> Context {
        Context::new()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}
