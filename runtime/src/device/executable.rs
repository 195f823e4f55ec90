//! What a device executes: a program with its model and cache, and where the weights lie.

use std::sync::Arc;

use samp_abi::plan::{KvCache, Model, Program, TensorId};
use samp_kernels::encoded::EncodedRef;

use crate::plan::OpenPlan;

/// Where the weights of a program lie.
pub trait Weights: Send + Sync {
    /// The tensor, in the format and layout that its steps' kernels take.
    fn tensor(&self, id: TensorId) -> EncodedRef<'_>;

    /// Hears that the memory behind a tensor may be taken back; it can be read again.
    fn release(&self, _: TensorId) {}

    /// Hears that a batch has gone through the whole program.
    fn after_batch(&self) {}
}

impl Weights for Arc<OpenPlan> {
    fn tensor(&self, id: TensorId) -> EncodedRef<'_> {
        OpenPlan::tensor(self, id)
    }

    fn release(&self, id: TensorId) {
        OpenPlan::release(self, id);
    }
}

/// What is executed, apart from the weights.
#[derive(Clone, Debug)]
pub struct Executable {
    /// The steps, their buffers and the kernel of each step.
    pub program: Program,
    /// What the model is.
    pub model: Model,
    /// How keys and values are kept.
    pub kv: KvCache,
    /// Size of the activation arena in bytes.
    pub arena_bytes: u64,
}

impl Executable {
    /// What a plan has executed.
    pub fn from_plan(plan: &OpenPlan) -> Executable {
        let manifest = plan.manifest();
        Executable {
            program: manifest.program.clone(),
            model: manifest.model.clone(),
            kv: manifest.kv.clone(),
            arena_bytes: manifest.memory.arena_bytes,
        }
    }
}
