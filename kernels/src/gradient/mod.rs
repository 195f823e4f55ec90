//! Gradients of the operations: from that of a scalar by an operation's result to that by its inputs.
//!
//! Each function adds to the gradient that it is given, as an input may be read more than once. A linear has none here:
//! `W` transposed is a linear itself. [`draw_divergence_root`] is where a gradient of the model's divergence begins.
//!
//! f32, in a fixed order: the same bits on any number of threads.

mod attention;
mod divergence_root;
mod rms_norm;
mod rope;
mod silu_mul;

pub use attention::{AttentionShape, attention};
pub use divergence_root::draw_divergence_root;
pub use rms_norm::rms_norm;
pub use rope::RopeTable;
pub use silu_mul::silu_mul;
