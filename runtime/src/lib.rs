//! `samp-runtime`: opens, validates and executes compiled plans.
//!
//! [`open`] gives an [`OpenPlan`] whose every byte has been checked; an [`Engine`] executes it on a [`Device`] for
//! ragged batches of sequences; [`Tokenizer`], [`ChatTemplate`], [`Sampler`] and [`generate()`] turn text into tokens
//! and back, and [`GenerationConfig`] says how the model's makers want it sampled.
//!
//! [`bench`](bench::bench()) measures all of it.
//!
//! [`Session`] puts these together for a program that embeds samp and shares a plan between threads.
//!
//! Never: MLIR or LLVM, the compiler, a network, or a decision about precision, fusion, kernels or memory: those
//! the plan has made.
//!
//! # From another program
//!
//! - **One text at a time, from any thread:** a [`Session`] is `Send + Sync` and cheap to clone; each token of a
//!   [`Generation`] takes the engine for itself, so that those of several threads advance in turns.
//! - **Many sequences:** an [`Engine`] is `Send`, used by one thread at a time, and decodes one token of each sequence in a
//!   step that reads the weights once: [`Completion::pending`] is what to append, [`Completion::accept`] takes the logits.
//! - **Threads:** a session computes on threads of its own ([`SessionOptions::threads`]). An engine on the CPU computes on the
//!   thread that calls it and on others of its own, together as many as the rayon pool has in which it is made. Results
//!   depend on neither. After `fork` a child opens the plan anew.
//! - **Memory:** weights are mapped read-only from the plan's files and shared by all who open it (a GPU has its own copy);
//!   the KV cache is bounded by [`EngineOptions::kv_tokens`], and host memory is taken only as positions are filled.
//!
//! `runtime/examples/generate.rs` does both:
//!
//! ```ignore
#![doc = include_str!("../examples/generate.rs")]
//! ```

mod affinity;
pub mod batch;
pub mod bench;
pub mod cache_dir;
mod cached_sequence;
pub mod chat;
pub mod detokenize;
pub mod device;
pub mod engine;
mod error;
pub mod error_code;
pub mod generate;
pub mod generation_config;
mod golden;
pub mod kv;
mod library_panic;
pub mod outside_file;
pub mod path_kind;
pub mod plan;
mod prefix_index;
pub mod proc;
pub mod progress;
pub mod sample;
mod sequence_id;
pub mod session;
mod stop_texts;
mod threads;
pub mod tokenizer;

pub use affinity::{AffinityError, CpuList, set_affinity};
pub use batch::{Chunk, Logits, Outputs};
pub use cached_sequence::CachedSequence;
pub use chat::{ChatError, ChatTemplate, Conversation, Message, TemplateValue};
pub use detokenize::Detokenizer;
pub use device::{
    Batch, BufferView, Device, DeviceError, DeviceKind, Executable, Observer, OpenDevice, Replay, Weights,
};
pub use engine::{CachedPrefix, Engine, EngineOptions, Output, OutputRequest};
pub use error::{EngineError, GoldenError};
pub use generate::{Completion, Delta, Finish, GenerateError, Generated, Request, generate, generate_in};
pub use generation_config::{ChosenSampling, GenerationConfig, GenerationSettings, SettingOrigin};
pub use kv::{KvUsage, OutOfPages};
pub use library_panic::{LibraryError, catch_library_panic};
pub use path_kind::{PathKind, Wanted, WrongPath, what_is_there};
pub use plan::{
    Fault, OpenPlan, PlanError, PublicKey, PublicKeyError, SignatureError, named_files, open, open_staged,
    unnamed_entries, validate, validate_manifest,
};
pub use progress::{Progress, Silent};
pub use sample::{Sampled, Sampler, Sampling, SamplingContext, SamplingError, TokenMask};
pub use sequence_id::SequenceId;
pub use session::{Generation, Prompt, Session, SessionError, SessionOptions};
pub use threads::{MAX_THREADS, ThreadsError, check_threads, set_threads, thread_pool};
pub use tokenizer::{AddSpecial, SpecialTokens, Tokenizer, TokenizerError};

/// The optional features of this build.
pub const FEATURES: &[&str] = match (cfg!(feature = "cuda"), cfg!(feature = "emulate")) {
    (true, true) => &["cuda", "emulate"],
    (true, false) => &["cuda"],
    (false, true) => &["emulate"],
    (false, false) => &[],
};

// Sizes in plans are 64-bit and become `usize` without further ado.
const _: () = assert!(usize::BITS == 64, "samp-runtime needs a 64-bit machine");
