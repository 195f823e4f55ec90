//! Lowering: the graph of a model goes through the passes and becomes a program, whose sizes and times are known before a
//! weight is read.
//!
//! Never: a weight's value, or what was measured other than as [`Measurements`] to put on the graph.

mod budget;
mod member_scales;
mod model;
pub mod pipeline;
pub mod predict;
mod program;
mod quality_pass;
pub mod recipe;
pub mod size;
mod spec;

pub use budget::check_budget;
pub use model::{
    DEFAULT_MAX_SEQUENCES, LowerOptions, Lowered, Measurements, ModelSource, lower_model, lower_to_spec,
};
pub(crate) use model::{check_limits, selection};
pub use quality_pass::{DEFAULT_QUALITY, QualityPass, QualityPassError, quant_options};
pub use spec::{DEFAULT_FILE_BYTES, PlanSpec, SourceSpec, TensorSpec};
