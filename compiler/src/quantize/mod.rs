//! Quantization: what the model's inputs look like, what each format costs in each place, and weights rounded with that
//! knowledge, to formats that constraints and measurements decide.
//!
//! [`BaselineWeights`] are the weights in f32 after the function-preserving transforms; [`Forward`] runs the f32 program
//! over calibration tokens, resuming between any two steps; [`data`] reads the calibration records; `sensitivity` measures;
//! `rounding` makes the final weights, layer after layer on the inputs that the rounded layers before them give; [`search`]
//! is the way from a checkpoint to a certified plan.
//!
//! Never: a choice of formats (that is the passes' work), or a file format of plans (that is emission's).

mod backward;
mod baseline;
mod calibration_tokens;
pub mod data;
mod divergence;
mod equalization;
mod equalization_scales;
mod error;
mod forward;
mod linear_inputs;
mod matrix_rounding;
mod measure_options;
mod rounding;
pub mod search;
mod sensitivity;
mod spill;
mod token_batch;
mod values;

pub use baseline::BaselineWeights;
pub use equalization_scales::EqualizationScales;
pub use error::QuantizeError;
pub use forward::{Forward, State};
pub use measure_options::{MeasureOptions, SensitivityMode};
pub(crate) use rounding::RoundedStore;
pub use token_batch::TokenBatch;
