//! `samp-runtime`: opens, validates and executes compiled plans.
//!
//! [`open`] gives an [`OpenPlan`] whose every byte has been checked; an [`Engine`] executes it on a [`Device`] for
//! ragged batches of sequences; [`Tokenizer`], [`ChatTemplate`], [`Sampler`] and [`generate()`] turn text into tokens
//! and back.
//!
//! Never: MLIR or LLVM, the compiler, a network, or a decision about precision, fusion, kernels or memory: those
//! the plan has made.

pub mod batch;
pub mod cache_dir;
pub mod chat;
pub mod detokenize;
pub mod device;
pub mod engine;
mod error;
pub mod generate;
mod golden;
pub mod kv;
mod library_panic;
pub mod plan;
pub mod progress;
pub mod sample;
mod sequence_id;
pub mod tokenizer;

pub use batch::{Chunk, Logits, Outputs};
pub use chat::{ChatError, ChatTemplate, Message};
pub use detokenize::Detokenizer;
pub use device::{
    Batch, BufferView, Device, DeviceError, DeviceKind, Executable, Observer, OpenDevice, Replay, Weights,
};
pub use engine::{Engine, EngineOptions};
pub use error::{EngineError, GoldenError};
pub use generate::{Completion, Delta, Finish, GenerateError, Generated, Request, generate};
pub use kv::{KvUsage, OutOfPages};
pub use library_panic::{LibraryError, catch_library_panic};
pub use plan::{Fault, OpenPlan, PlanError, open, open_staged, validate, validate_manifest};
pub use progress::{Progress, Silent};
pub use sample::{Sampled, Sampler, Sampling, SamplingError};
pub use sequence_id::SequenceId;
pub use tokenizer::{AddSpecial, SpecialTokens, Tokenizer, TokenizerError};

// Sizes in plans are 64-bit and become `usize` without further ado.
const _: () = assert!(usize::BITS == 64, "samp-runtime needs a 64-bit machine");
