//! The weights of an exported checkpoint, and where their values lie in the plan.

use samp_abi::{
    Format,
    plan::{Plan, Source, TensorId},
};

use crate::import::{ModelConfig, joined};

/// Values of a plan's tensor that follow one another: whole rows of a matrix, or a part of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) tensor: TensorId,
    /// The first value, counted row by row.
    pub(super) start: u64,
    pub(super) len: u64,
}

/// A weight of the checkpoint: the values of its pieces, one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckpointWeight {
    /// As transformers calls it, such as `model.layers.0.self_attn.q_proj.weight`.
    pub(super) name: String,
    /// `[rows, cols]`, or `[cols]` of a vector.
    pub(super) shape: Vec<u64>,
    pub(super) pieces: Vec<Piece>,
}

impl CheckpointWeight {
    /// The module that it belongs to, such as `model.layers.0.self_attn.q_proj`.
    pub(super) fn module(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(module, _)| module)
    }

    /// Rows and columns of a matrix; `None` of a vector.
    pub(super) fn matrix(&self) -> Option<[u64; 2]> {
        self.shape.as_slice().try_into().ok()
    }

    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// The formats of its pieces, each once.
    pub(super) fn formats(&self, plan: &Plan) -> Vec<Format> {
        let mut formats: Vec<Format> =
            self.pieces.iter().map(|piece| plan.tensors[piece.tensor.0 as usize].format).collect();
        formats.dedup();
        formats
    }

    /// The format of all of it, if its pieces have one.
    pub(super) fn format(&self, plan: &Plan) -> Option<Format> {
        let formats = self.formats(plan);
        formats.first().copied().filter(|_| formats.len() == 1)
    }

    /// Whether it is the weight of a linear: a matrix that is no table of embeddings.
    pub(super) fn is_linear(&self) -> bool {
        self.matrix().is_some() && !self.name.ends_with("embed_tokens.weight")
    }
}

/// Every weight of a plan, in the order of its tensors. Projections that the architecture stores as one are one, whether the
/// plan fused them or not.
pub(super) fn checkpoint_weights(plan: &Plan, config: &ModelConfig) -> Vec<CheckpointWeight> {
    let tensors = plan.tensors.iter().zip(0..);
    let weights = tensors.flat_map(|(tensor, id)| of_sources(TensorId(id), &tensor.sources));
    if config.joined_projections { join(weights, config) } else { weights.collect() }
}

fn of_sources(tensor: TensorId, sources: &[Source]) -> Vec<CheckpointWeight> {
    let mut start = 0;
    let weight = |source: &Source| {
        let len = source.shape.iter().product();
        let piece = Piece { tensor, start, len };
        start += len;
        CheckpointWeight { name: source.name.clone(), shape: source.shape.clone(), pieces: vec![piece] }
    };
    sources.iter().map(weight).collect()
}

/// Puts members together. Their linears read one input, so that they come one after another.
fn join(weights: impl Iterator<Item = CheckpointWeight>, config: &ModelConfig) -> Vec<CheckpointWeight> {
    let projections = joined(&config.model);
    let joined_name = |name: &str| {
        projections.iter().find_map(|(joined, members)| {
            let mut layers =
                members.iter().filter_map(|(member, _)| name.strip_suffix(&format!("{member}.weight")));
            layers.next().map(|layer| format!("{layer}{joined}.weight"))
        })
    };
    let mut result: Vec<CheckpointWeight> = vec![];
    for weight in weights {
        let name = joined_name(&weight.name);
        match (result.last_mut(), name) {
            (Some(last), Some(name)) if last.name == name => {
                last.shape[0] += weight.shape[0];
                last.pieces.extend(weight.pieces);
            }
            (_, name) => result.push(CheckpointWeight { name: name.unwrap_or(weight.name), ..weight }),
        }
    }
    result
}
