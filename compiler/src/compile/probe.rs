//! The golden probe of a plan: the runtime runs it once, on this machine's CPU.

use std::path::Path;

use samp_abi::TargetName;
use samp_runtime::{DeviceKind, Engine, EngineOptions, Outputs};

use crate::emit::ProbeError;

/// The device of this machine's CPU that runs plans of `target`: what was compiled for other hardware, the reference
/// runs.
pub fn device_on_cpu(target: TargetName) -> DeviceKind {
    if target == TargetName::Cpu { DeviceKind::Cpu } else { DeviceKind::Reference }
}

/// Runs a freshly written plan where this machine can, on the CPU: the logits after `positions` of one sequence.
pub(super) fn probe(dir: &Path, token_ids: &[u32], positions: &[u32]) -> Result<Vec<Vec<f32>>, ProbeError> {
    let plan = samp_runtime::open_staged(dir)?;
    let options = EngineOptions {
        kv_tokens: Some(token_ids.len() as u64),
        self_test: false,
        ..EngineOptions::default()
    };
    let device = device_on_cpu(plan.manifest().target);
    let mut engine = Engine::new(plan.into(), device, options)?;
    let sequence = engine.create()?;
    let at: Vec<usize> = positions.iter().map(|&p| p as usize).collect();
    let logits = engine.append_tokens(sequence, token_ids, Outputs::At(&at))?;
    Ok(logits.rows().map(<[f32]>::to_vec).collect())
}
