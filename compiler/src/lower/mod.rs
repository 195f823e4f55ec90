//! Lowering: the graph of a model goes through the passes and becomes a program, whose sizes and times are known before a
//! weight is read.

pub mod pipeline;
pub mod predict;
pub mod program;
pub mod recipe;
pub mod size;
mod spec;

pub use program::{FindSource, LowerInputs};
pub use spec::{DEFAULT_FILE_BYTES, PlanSpec, SourceSpec, TensorSpec};
