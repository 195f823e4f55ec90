//! The tensors that the architecture has against those that the checkpoint holds: each bound exactly once.

use samp_ir::Diagnostic;

use super::{
    checkpoint::Checkpoint,
    config::ModelConfig,
    file_names::CONFIG,
    findings::Findings,
    parameter::{Parameter, parameters},
    prefix::renamed,
    source_rows::is_float,
    tensor_view::TensorView,
};
use crate::error_code;

/// Bytes of two mapped tensors that are resident while they are compared, in each.
const COMPARED_AT_ONCE: usize = 16 << 20;

/// Binds every parameter to its tensor. All faults come in one diagnostic; tensors that are rightly left out come as
/// warnings.
pub fn bind(config: &ModelConfig, checkpoint: &Checkpoint) -> Result<Vec<Diagnostic>, Diagnostic> {
    let parameters = parameters(config);
    let renamed = renamed(&parameters, checkpoint);
    let is_told = |name: &str| renamed.as_ref().is_some_and(|renamed| renamed.covers(name));
    let mut findings = Findings::default();
    for parameter in parameters.iter().filter(|parameter| !is_told(&parameter.source)) {
        match checkpoint.tensor(&parameter.source) {
            Some(tensor) => check_tensor(parameter, &tensor, &mut findings),
            None => {
                let message =
                    format!("expected {:?} in F32, F16 or BF16, found no such tensor", parameter.shape);
                findings.add_caused(None, &parameter.source, MISSING, message);
            }
        }
    }
    let mut bound: Vec<&str> = parameters.iter().map(|p| p.source.as_str()).collect();
    bound.sort_unstable();
    let mut left_out = Vec::new();
    for name in checkpoint.names().filter(|name| bound.binary_search(name).is_err() && !is_told(name)) {
        match unbound(config, checkpoint, name) {
            Unbound::LeftOut(why) => left_out.push((name, why)),
            Unbound::Fault { cause, message } => {
                findings.add_caused(checkpoint.tensor(name).map(|t| t.file), name, cause, message);
            }
        }
    }
    if let Some(renamed) = renamed {
        let finding = renamed.finding(parameters.len()).in_file(CONFIG);
        return Err(findings.notes().fold(finding, Diagnostic::note));
    }
    findings
        .into_result(
            error_code::BINDING,
            CONFIG,
            "expected the checkpoint to hold the tensors of its config.json",
        )
        .map_err(|d| with_hint(d, config, checkpoint))?;
    Ok(warnings(&left_out))
}

fn check_tensor(parameter: &Parameter, tensor: &TensorView<'_>, findings: &mut Findings) {
    if tensor.shape != parameter.shape {
        let message = format!("expected shape {:?}, found {:?}", parameter.shape, tensor.shape);
        findings.add(Some(tensor.file), tensor.name, message);
    }
    if !is_float(tensor.dtype) {
        let message = format!("expected type F32, F16 or BF16, found {:?}", tensor.dtype);
        findings.add(Some(tensor.file), tensor.name, message);
    }
}

/// What a tensor is that no parameter names.
enum Unbound {
    LeftOut(&'static str),
    Fault { cause: &'static str, message: String },
}

/// What parameters without a tensor share, and tensors without a parameter.
const MISSING: &str = "expected in F32, F16 or BF16, found no such tensors";
const UNKNOWN: &str = "expected no such tensors in this architecture, found them";
/// What is wrong with a head that is not the embedding: one tensor, so that nothing shares it.
const OTHER_HEAD: &str = "expected the tensor that it is tied to, found another";

fn unbound(config: &ModelConfig, checkpoint: &Checkpoint, name: &str) -> Unbound {
    let layer =
        name.strip_prefix("model.layers.").and_then(|n| n.strip_suffix(".self_attn.rotary_emb.inv_freq"));
    let is_layer = |layer: &str| layer.parse::<u64>().is_ok_and(|n| n < config.model.layers);
    if layer.is_some_and(is_layer) {
        return Unbound::LeftOut("rotary frequencies are computed from config.json");
    }
    if let ("lm_head.weight", true) = (name, config.model.tied_embeddings) {
        return tied_head(checkpoint);
    }
    let found = checkpoint.tensor(name).map(|t| format!("{:?} {:?}", t.dtype, t.shape)).unwrap_or_default();
    let message = format!("expected no such tensor in this architecture, found {found}");
    Unbound::Fault { cause: UNKNOWN, message }
}

/// A head may be stored beside the embedding that it is tied to only if they are one and the same.
fn tied_head(checkpoint: &Checkpoint) -> Unbound {
    let fault = |message: String| Unbound::Fault { cause: OTHER_HEAD, message };
    let tensors = (checkpoint.tensor("lm_head.weight"), checkpoint.tensor("model.embed_tokens.weight"));
    let (Some(head), Some(embedding)) = tensors else {
        return fault("expected model.embed_tokens.weight beside it, found none".into());
    };
    if (head.dtype, head.shape) != (embedding.dtype, embedding.shape) {
        return fault(format!(
            "expected {:?} {:?} as model.embed_tokens.weight, which it is tied to, found {:?} {:?}",
            embedding.dtype, embedding.shape, head.dtype, head.shape
        ));
    }
    let mut release = || [head.name, embedding.name].into_iter().for_each(|name| checkpoint.release(name));
    match first_difference(head.bytes, embedding.bytes, &mut release) {
        None => Unbound::LeftOut("equal to model.embed_tokens.weight, which it is tied to"),
        Some(at) => fault(format!(
            "expected the bytes of model.embed_tokens.weight, which it is tied to, found others from byte {at} on"
        )),
    }
}

/// Where two arrays of the same length first differ. Memory behind them is given back piece by piece by `release`.
fn first_difference(a: &[u8], b: &[u8], release: &mut dyn FnMut()) -> Option<usize> {
    let pieces = a.chunks(COMPARED_AT_ONCE).zip(b.chunks(COMPARED_AT_ONCE)).enumerate();
    pieces.into_iter().find_map(|(index, (a, b))| {
        let found = (a != b).then(|| a.iter().zip(b).position(|(a, b)| a != b)).flatten();
        release();
        found.map(|at| index * COMPARED_AT_ONCE + at)
    })
}

fn with_hint(diagnostic: Diagnostic, config: &ModelConfig, checkpoint: &Checkpoint) -> Diagnostic {
    let has = |name: &str| checkpoint.tensor(name).is_some();
    let tied = config.model.tied_embeddings;
    if !tied && !has("lm_head.weight") && has("model.embed_tokens.weight") {
        return diagnostic
            .hint("if the head is the embedding, config.json has to say so: tie_word_embeddings");
    }
    if tied && has("lm_head.weight") {
        return diagnostic.hint("if the head has weights of its own, tie_word_embeddings has to be false");
    }
    if !config.attention_bias && has("model.layers.0.self_attn.q_proj.bias") {
        return diagnostic.hint("if the model has biases, config.json has to say so: attention_bias");
    }
    if !config.mlp_bias && has("model.layers.0.mlp.gate_proj.bias") {
        return diagnostic.hint("if the model has biases, config.json has to say so: mlp_bias");
    }
    diagnostic.hint("config.json and the weights may belong to different models; fetch the checkpoint again")
}

fn warnings(left_out: &[(&str, &str)]) -> Vec<Diagnostic> {
    let mut reasons: Vec<&str> = left_out.iter().map(|(_, why)| *why).collect();
    reasons.dedup();
    let warning = |why: &&str| {
        let names: Vec<&str> = left_out.iter().filter(|(_, w)| w == why).map(|(name, _)| *name).collect();
        let count = if names.len() == 1 { "1 tensor".into() } else { format!("{} tensors", names.len()) };
        let message = format!("expected nothing beside the model's parameters, left out {count}: {why}");
        Diagnostic::bad_input(error_code::UNREAD_TENSORS, message).warning().at_tensor(names[0])
    };
    reasons.iter().map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_compared_and_released_in_pieces() {
        let a = vec![7; 2 * COMPARED_AT_ONCE + 5];
        let mut b = a.clone();
        let compare = |b: &[u8]| {
            let mut released = 0;
            (first_difference(&a, b, &mut || released += 1), released)
        };
        assert_eq!(compare(&b), (None, 3));
        for (at, released) in [(2 * COMPARED_AT_ONCE + 4, 3), (COMPARED_AT_ONCE, 2), (3, 1)] {
            b[at] = 0;
            assert_eq!(compare(&b), (Some(at), released));
        }
    }
}
