//! `samp-passes`: IR to IR. Each pass is a plain function over a module and typed inputs, in a file of its own name.
//!
//! Never: files, clocks, randomness, the runtime, or an order that depends on a hash map. The same input gives the
//! same output, byte for byte.

mod annotate_sensitivity;
mod arena;
mod assign_precision;
mod assign_recipe;
pub mod assignment;
mod correct_weights;
mod equalize;
pub mod error_code;
mod fold_norms;
mod formulation;
mod fuse_add_rms_norm;
mod fuse_gate_up;
mod fuse_qkv;
mod fused_linear;
mod keep_outliers;
mod legalize;
mod matrix;
mod member_scales;
mod narrow_activations;
mod plan_memory;
mod pricing;
mod quant_options;
mod reason;
pub mod recipe;
mod rotate;
mod round_weights;
mod select_kernels;
mod split_linears;
mod supported_formats;
pub mod transform;

pub use annotate_sensitivity::{
    FormatCost, MemberSensitivity, Sensitivities, WeightSensitivity, annotate_sensitivity,
};
pub use assign_precision::{
    Constraints, Decision, DeviceMemory, KvCost, LatencyLimit, Objective, assign_precision,
};
pub use assign_recipe::{assign_recipe, projection_key};
pub use correct_weights::correct_weights;
pub use equalize::equalize;
pub use fold_norms::fold_norms;
pub use formulation::{FixedCosts, Formulation, formulate};
pub use fuse_add_rms_norm::fuse_add_rms_norm;
pub use fuse_gate_up::fuse_gate_up;
pub use fuse_qkv::fuse_qkv;
pub use keep_outliers::keep_outliers;
pub use legalize::{legal_ops, legalize};
pub use matrix::{Matrix, matrices};
pub use member_scales::{MemberScale, MemberScales};
pub use narrow_activations::narrow_activations;
pub use plan_memory::{MemoryInputs, plan_memory};
pub use quant_options::{QuantOptions, Rounding};
pub use reason::{Reason, Upgrade};
pub use rotate::rotate;
pub use round_weights::round_weights;
pub use select_kernels::{Explanation, KernelCandidate, Selection, select_kernels};
pub use split_linears::split_linears;

/// How many places a pass changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed(pub usize);
