//! The tensors of an exported checkpoint, of the tensors of the plan that their values are in.

use samp_abi::plan::{Plan, Source, TensorId};

use crate::import::{ModelConfig, joined};

/// Tensors of the plan whose values lie one after another, and what the checkpoint calls them.
pub(super) struct StoredTensors {
    pub(super) tensors: Vec<TensorId>,
    /// Names and shapes, in the order of the values.
    pub(super) named: Vec<(String, Vec<u64>)>,
}

/// Every tensor of a plan; projections that the architecture stores as one are one, whether the plan fused them or not.
pub(super) fn stored_tensors(plan: &Plan, config: &ModelConfig) -> Vec<StoredTensors> {
    let members = |name: &str| config.joined_projections.then(|| members_from(name, config)).flatten();
    let sources = |id: TensorId| &plan.tensors[id.0 as usize].sources;
    let mut stored = vec![];
    let mut ids = (0..plan.tensors.len() as u32).map(TensorId);
    while let Some(id) = ids.next() {
        let mut tensors = vec![id];
        let joined = sources(id).first().and_then(|source| members(&source.name));
        let mut named = named(sources(id));
        if let Some((joined, members)) = joined {
            // Their linears read one input, so that they come one after another.
            while named.len() < members.len()
                && let Some(next) = ids.next()
            {
                tensors.push(next);
                named.extend(self::named(sources(next)));
            }
            if named.iter().map(|(name, _)| name).eq(&members) {
                named = vec![(joined, joined_shape(&named))];
            }
        }
        stored.push(StoredTensors { tensors, named });
    }
    stored
}

fn named(sources: &[Source]) -> Vec<(String, Vec<u64>)> {
    sources.iter().map(|source| (source.name.clone(), source.shape.clone())).collect()
}

/// The rows of all, of as many columns.
fn joined_shape(named: &[(String, Vec<u64>)]) -> Vec<u64> {
    let mut shape = named[0].1.clone();
    shape[0] = named.iter().map(|(_, shape)| shape[0]).sum();
    shape
}

/// The tensor that begins with the rows of this one, and all whose rows lie in it.
fn members_from(name: &str, config: &ModelConfig) -> Option<(String, Vec<String>)> {
    joined(&config.model).into_iter().find_map(|(joined, members)| {
        let (first, _) = members.first()?;
        let layer = name.strip_suffix(&format!("{first}.weight"))?;
        let names = members.iter().map(|(member, _)| format!("{layer}{member}.weight"));
        Some((format!("{layer}{joined}.weight"), names.collect()))
    })
}
