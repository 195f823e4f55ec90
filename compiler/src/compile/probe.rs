//! The golden probe of a plan: the runtime runs it once, on this machine's CPU.

use std::{path::Path, sync::Arc};

use samp_abi::{TargetName, plan::Step};
use samp_runtime::{BufferView, Chunk, DeviceKind, Engine, EngineOptions, Observer, OpenPlan, Outputs};

use crate::emit::ProbeError;

/// The device of this machine's CPU that runs plans of `target`: what was compiled for other hardware, the reference
/// runs.
pub fn device_on_cpu(target: TargetName) -> DeviceKind {
    if target == TargetName::Cpu { DeviceKind::Cpu } else { DeviceKind::Reference }
}

/// Runs a freshly written plan where this machine can, on the CPU: the logits after `positions` of one sequence.
pub(super) fn probe(dir: &Path, token_ids: &[u32], positions: &[u32]) -> Result<Vec<Vec<f32>>, ProbeError> {
    let plan = Arc::new(samp_runtime::open_staged(dir)?);
    let options = EngineOptions {
        kv_tokens: Some(token_ids.len() as u64),
        self_test: false,
        ..EngineOptions::default()
    };
    let device = device_on_cpu(plan.manifest().target);
    let mut engine = Engine::new(plan.clone(), device, options)?;
    let sequence = engine.create()?;
    let at: Vec<usize> = positions.iter().map(|&p| p as usize).collect();
    let chunk = Chunk { sequence, tokens: token_ids, outputs: Outputs::At(&at) };
    let logits = engine.append_observed(chunk, &mut WeightRelease(&plan))?;
    Ok(logits.rows().map(<[f32]>::to_vec).collect())
}

/// Lets go of the weights of each step after it, so that a probe takes the memory of one step's.
struct WeightRelease<'a>(&'a OpenPlan);

impl Observer for WeightRelease<'_> {
    fn after_step(&mut self, _: usize, step: &Step, _: &BufferView<'_>) {
        step.op.tensors().into_iter().for_each(|id| self.0.release(id));
    }
}
