//! The tensors that the architecture has against those that the checkpoint holds: each bound exactly once.

use samp_ir::Diagnostic;

use super::{
    checkpoint::Checkpoint,
    config::ModelConfig,
    file_names::CONFIG,
    findings::Findings,
    parameter::{EMBEDDING, HEAD, Parameter, parameters},
    prefix::renamed,
    tensor_view::TensorView,
    widen::is_float,
};
use crate::error_code;

/// Modules and buffers of the rotary embedding, as versions of transformers and Meta's code have called them. Their values
/// follow from `config.json`; in whichever module of whichever layer they lie, transformers passes them over.
const ROTARY: [&str; 8] = [
    "rotary_emb",
    "rotary_pos_emb",
    "rotary_embedding",
    "rope",
    "inv_freq",
    "original_inv_freq",
    "freqs_cis",
    "rotary",
];

/// Binds every parameter to its tensor. All faults come in one diagnostic; tensors that are rightly left out come as
/// warnings.
pub fn bind(config: &ModelConfig, checkpoint: &Checkpoint) -> Result<Vec<Diagnostic>, Diagnostic> {
    let parameters = parameters(config);
    let renamed = renamed(&parameters, checkpoint);
    let is_told = |name: &str| renamed.as_ref().is_some_and(|renamed| renamed.covers(name));
    let mut findings = Findings::default();
    for parameter in parameters.iter().filter(|parameter| !is_told(&parameter.source)) {
        // Its shape was checked where it was found.
        if checkpoint.quantized(&parameter.source).is_some() {
            continue;
        }
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
    let is_known = |name: &str| bound.binary_search(&name).is_ok() || checkpoint.is_part(name);
    for name in checkpoint.names().filter(|name| !is_known(name) && !is_told(name)) {
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
    if name.split('.').any(|part| ROTARY.contains(&part)) {
        return Unbound::LeftOut("rotary frequencies are computed from config.json");
    }
    if (name, config.model.tied_embeddings) == (HEAD, true) {
        return tied_head(checkpoint);
    }
    let found = checkpoint.tensor(name).map(|t| format!("{:?} {:?}", t.dtype, t.shape)).unwrap_or_default();
    let message = format!("expected no such tensor in this architecture, found {found}");
    Unbound::Fault { cause: UNKNOWN, message }
}

/// A head that is left out, since the embedding has its values; `adopt_layout` unties one that has others.
fn tied_head(checkpoint: &Checkpoint) -> Unbound {
    let shape = |name: &str| checkpoint.tensor(name).map(|tensor| tensor.shape.to_vec());
    match (shape(HEAD), shape(EMBEDDING)) {
        (Some(head), Some(embedding)) if head != embedding => Unbound::Fault {
            cause: OTHER_HEAD,
            message: format!("expected {embedding:?} as {EMBEDDING}, which it is tied to, found {head:?}"),
        },
        _ => Unbound::LeftOut("equal to model.embed_tokens.weight, which it is tied to"),
    }
}

fn with_hint(diagnostic: Diagnostic, config: &ModelConfig, checkpoint: &Checkpoint) -> Diagnostic {
    let has = |name: &str| checkpoint.tensor(name).is_some();
    let tied = config.model.tied_embeddings;
    if !tied && !has(HEAD) && has(EMBEDDING) {
        return diagnostic
            .hint("if the head is the embedding, config.json has to say so: tie_word_embeddings");
    }
    if tied && has(HEAD) && has(EMBEDDING) {
        return diagnostic.hint("if the head has weights of its own, tie_word_embeddings has to be false");
    }
    if !config.qkv_bias && has("model.layers.0.self_attn.q_proj.bias") {
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
