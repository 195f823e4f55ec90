//! `samp-ir`: the graph. The `samp` dialect of MLIR, typed views of its ops, the verifier, and the
//! [`Diagnostic`] that the whole compiler speaks.
//!
//! A [`Module`] is one function over a ragged token batch. [`Module::views`] and [`Module::defined_by`] read
//! it, [`Module::before`] and [`Module::at_end`] add ops, `edit.rs` has the changes, [`verify`] says whether it
//! is a graph of its [`Phase`]. Passes written against this crate contain no `unsafe` and name nothing of
//! MLIR. A matcher borrows the module and returns names; a rewriter takes it mutably:
//!
//! ```
//! use samp_ir::{AddOp, Context, Dtype, Module, OpId, TensorType, ValueId};
//!
//! /// An addition of a tensor to itself.
//! struct Match {
//!     add: OpId,
//!     x: ValueId,
//! }
//!
//! fn match_double(add: AddOp<'_>) -> Option<Match> {
//!     (add.a() == add.b()).then_some(Match { add: add.id(), x: add.a() })
//! }
//!
//! fn rewrite_double(module: &mut Module, found: &Match) {
//!     let y = module.op(found.add).result(0);
//!     module.replace_all_uses(y, found.x);
//!     module.erase(found.add);
//! }
//!
//! let mut module = Module::new(&Context::new());
//! let inputs = module.inputs();
//! let mut b = module.at_end();
//! let table = b.weight("embed_tokens", &["embed.weight"], &[], TensorType::matrix(16, 8, Dtype::Bf16));
//! let x = b.embed("embed_tokens", [inputs.tokens, table], 1.0);
//! let doubled = b.add("double", x, x);
//! let y = b.gather("outputs", doubled, inputs.outputs);
//! module.set_output(y);
//!
//! let matches: Vec<Match> = module.views().filter_map(match_double).collect();
//! matches.iter().for_each(|found| rewrite_double(&mut module, found));
//! assert_eq!(module.op(module.users(x)[0].id()).label(), "outputs");
//! ```
//!
//! Never: input or output (only the test runner behind the feature `filetest` reads files), kernels, the runtime, a
//! decision about precision or memory. No other crate names `melior` or `mlir-sys`.

mod attribute;
mod builder;
mod context;
mod dataflow;
mod diagnostic;
mod edit;
pub mod error_code;
#[cfg(feature = "filetest")]
pub mod filetest;
mod ids;
mod module;
mod op;
mod op_ref;
mod parse;
mod phase;
mod printable;
mod raw;
mod structure;
mod tensor_type;
mod verify;
mod view;

pub use builder::Builder;
pub use context::Context;
pub use dataflow::{Dataflow, LiveRange};
pub use diagnostic::{Diagnostic, Family, Location, Severity};
pub use ids::{OpId, ValueId};
pub use module::{Inputs, Module};
pub use op::OpKind;
pub use op_ref::OpRef;
pub use phase::{ParsePhaseError, Phase};
pub use printable::{is_control, printable, printable_line};
pub use tensor_type::{Dtype, Shape, TensorType};
pub use verify::{ARENA_ALIGNMENT, findings, verify, verify_between};
pub use view::{
    AddOp, AddRmsNormOp, AttentionOp, AttentionSpec, ConcatOp, EmbedOp, GatherOp, LinearOp, PagedAttentionOp,
    RmsNormOp, RopeAppendOp, RopeOp, SiluMulOp, View, WeightOp,
};
