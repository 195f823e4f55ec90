//! Checkpoints that hold the model otherwise than usual, as far as transformers takes them: without the prefix of the
//! decoder's names, with projections joined into one tensor, and with a head that is tied by the config and stored all the
//! same.

use samp_ir::Diagnostic;

use super::{
    checkpoint::Checkpoint,
    config::ModelConfig,
    file_names::CONFIG,
    parameter::{EMBEDDING, HEAD, NORM, joined},
    prefix::{ANCHOR, DECODER},
    tensor_view::TensorView,
    widen::is_float,
};
use crate::error_code;

/// Values of two tensors that are compared at once, in each.
const COMPARED_AT_ONCE: usize = 4 << 20;

/// Calls tensors as transformers does, the rows of joined ones as those of its Llama, scales the last norm where logits are
/// scaled, and unties a head that has values of its own. Warnings say what was found.
pub(super) fn adopt_layout(config: &mut ModelConfig, checkpoint: &mut Checkpoint) -> Vec<Diagnostic> {
    add_prefix(checkpoint);
    if config.joined_projections {
        split_projections(config, checkpoint);
    }
    scale_norm(config, checkpoint);
    adopt_head(config, checkpoint).into_iter().collect()
}

/// Logits that are scaled come of a last norm that is.
pub(super) fn scale_norm(config: &ModelConfig, checkpoint: &mut Checkpoint) {
    if config.final_norm_scale != 1.0 {
        checkpoint.scale(NORM, config.final_norm_scale as f32);
    }
}

/// The decoder saved by itself, as of `LlamaModel`: its names lack the prefix.
fn add_prefix(checkpoint: &mut Checkpoint) {
    let has_prefix = checkpoint.names().any(|name| name.starts_with(DECODER));
    if has_prefix || checkpoint.tensor(ANCHOR).is_none() {
        return;
    }
    let bare: Vec<String> =
        checkpoint.names().filter(|name| !name.starts_with("lm_head.")).map(str::to_owned).collect();
    for name in bare {
        checkpoint.rename(&name, &format!("{DECODER}{name}"));
    }
}

/// Projections that lie in one tensor, each by itself from here on. A tensor of other sizes stays, and binding tells of it.
fn split_projections(config: &ModelConfig, checkpoint: &mut Checkpoint) {
    for layer in 0..config.model.layers {
        let name = |module: &str| format!("{DECODER}layers.{layer}.{module}.weight");
        for (joined, members) in joined(&config.model) {
            let parts: Vec<(String, u64)> =
                members.into_iter().map(|(module, rows)| (name(module), rows)).collect();
            checkpoint.split_rows(&name(joined), &parts);
        }
    }
}

/// The head of a config that ties it to the embedding. Where it is stored alone, as by `safetensors.torch.save_model`, it
/// is the embedding; where both are stored and differ, transformers does not tie them.
fn adopt_head(config: &mut ModelConfig, checkpoint: &mut Checkpoint) -> Option<Diagnostic> {
    if !config.model.tied_embeddings {
        return None;
    }
    let (Some(head), Some(embedding)) = (checkpoint.tensor(HEAD), checkpoint.tensor(EMBEDDING)) else {
        checkpoint.rename(HEAD, EMBEDDING);
        return None;
    };
    let comparable = head.shape == embedding.shape && is_float(head.dtype) && is_float(embedding.dtype);
    if !comparable || equal_values(checkpoint, &head, &embedding) {
        return None;
    }
    let file = head.file.to_owned();
    config.model.tied_embeddings = false;
    let message = format!(
        "expected the values of {EMBEDDING}, which `tie_word_embeddings` ties it to, found others: the head keeps its own"
    );
    Some(
        Diagnostic::bad_input(error_code::UNTIED_HEAD, message)
            .warning()
            .in_file(file)
            .at_tensor(HEAD)
            .note("transformers does not tie them either")
            .hint(format!(
                "set tie_word_embeddings to false in {CONFIG}, or remove the tensor that is not meant"
            )),
    )
}

/// Whether two tensors of one shape hold the same values, whatever they are stored as.
fn equal_values(checkpoint: &Checkpoint, a: &TensorView<'_>, b: &TensorView<'_>) -> bool {
    let release = || [a, b].into_iter().for_each(|tensor| checkpoint.release(tensor.name));
    let (a_size, b_size) = (a.dtype.bitsize() / 8, b.dtype.bitsize() / 8);
    let pieces = a.bytes.chunks(COMPARED_AT_ONCE * a_size).zip(b.bytes.chunks(COMPARED_AT_ONCE * b_size));
    let mut equal = true;
    for (piece, other) in pieces {
        equal =
            equal && if a.dtype == b.dtype { piece == other } else { values(a, piece) == values(b, other) };
        release();
    }
    equal
}

fn values(tensor: &TensorView<'_>, bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() * 8 / tensor.dtype.bitsize()];
    super::widen::widen(tensor.dtype, bytes, &mut values);
    values
}
