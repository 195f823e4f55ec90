//! GGUF, the format of llama.cpp: one file with the model's configuration, its tokenizer and its weights.

mod blocks;
mod file;
mod metadata;
mod tokenizer;

use samp_ir::Diagnostic;
use samp_runtime::OpenPlan;

use self::{
    blocks::{Tensor, kind_of},
    file::{ALIGNMENT, Metadata, TensorInfo, header},
    metadata::{architecture_name, model_metadata, rope_factors},
    tokenizer::text_metadata,
};
use super::{
    encoding::{Choice, OutputBytes},
    hf_config::ExportedConfig,
    options::{CHECKPOINT, ExportOptions, GGUF_FILE},
    planned::PlannedWeight,
    safetensors_files::write_marker,
    weight::CheckpointWeight,
};
use crate::{
    checkpoint_files::{CheckpointFolder, WrittenFiles},
    emit::EmitError,
    error_code,
    import::{GgufArchitecture, gguf_architecture, gguf_name},
};

/// What it holds exactly.
pub(super) const HOLDS: &str = "int4, int5 and int6 in any group, and plain floats";
/// What stretches the waves of Llama 3's rotary embedding.
const ROPE_FACTORS: &str = "rope_freqs.weight";

fn untold(why: String) -> Diagnostic {
    Diagnostic::unsupported(
        error_code::UNTOLD_EXPORT,
        format!("expected a model that GGUF can tell all of; {why}"),
    )
    .hint("export it with --format hf, which llama.cpp's convert_hf_to_gguf.py reads")
}

/// llama.cpp's architecture of the model.
fn architecture(config: &ExportedConfig) -> Result<&'static GgufArchitecture, Diagnostic> {
    Ok(gguf_architecture(architecture_name(config).map_err(untold)?)
        .expect("import reads what export writes"))
}

/// The tensor that a weight is written as.
fn tensor(
    plan: &OpenPlan,
    config: &ExportedConfig,
    weight: &CheckpointWeight,
) -> Result<(Tensor, Option<String>), Diagnostic> {
    let turned = architecture(config)?.turned
        && ["self_attn.q_proj", "self_attn.k_proj"].iter().any(|name| weight.module().ends_with(name));
    let name = gguf_name(&weight.name)
        .ok_or_else(|| untold(format!("llama.cpp has no tensor for `{}`", weight.name)))?;
    let (kind, why) = kind_of(plan, weight);
    let head_dim = turned.then_some(config.model.model.head_dim);
    Ok((Tensor { name, kind, head_dim }, why))
}

/// How a weight is stored; in f16, or with scales in f16, what cannot be stored as it is.
///
/// # Errors
/// llama.cpp cannot be told of a part of the model.
pub(super) fn choose(
    plan: &OpenPlan,
    config: &ExportedConfig,
    weight: &CheckpointWeight,
) -> Result<Choice, Diagnostic> {
    let (tensor, why) = tensor(plan, config, weight)?;
    Ok(match why {
        None => Choice::exact(tensor),
        Some(why) => Choice::rounded(tensor, why),
    })
}

/// What stands before the tensors, and what people should know.
pub(super) struct Head {
    metadata: Metadata,
    rope_factors: Option<Vec<f32>>,
    pub(super) notes: Vec<String>,
}

/// Everything but the weights.
///
/// # Errors
/// llama.cpp cannot be told of a part of the model or of its tokenizer.
pub(super) fn head(plan: &OpenPlan, config: &ExportedConfig) -> Result<Head, Diagnostic> {
    let mut metadata = model_metadata(plan.manifest(), config, architecture(config)?).map_err(untold)?;
    let model = &config.model.model;
    let (text, notes) = text_metadata(plan, model.vocab_size, &model.eos_token_ids).map_err(untold)?;
    metadata.extend(text);
    Ok(Head { metadata, rope_factors: rope_factors(config), notes })
}

/// Writes the file; gives the largest relative error of each weight, in their order.
pub(super) fn write(
    plan: &OpenPlan,
    config: &ExportedConfig,
    head: &Head,
    planned: &[PlannedWeight],
    options: &ExportOptions<'_>,
) -> Result<(WrittenFiles, Vec<f32>), EmitError> {
    let mut tensors = vec![];
    for planned in planned {
        let (tensor, _) = tensor(plan, config, &planned.weight)?;
        let (shape, bytes) = (planned.weight.shape.clone(), planned.bytes());
        tensors.push(TensorInfo { name: tensor.name, shape, kind: tensor.kind.number(), bytes });
    }
    let factors: Vec<u8> =
        head.rope_factors.iter().flatten().flat_map(|factor| factor.to_le_bytes()).collect();
    if let Some(values) = &head.rope_factors {
        let (name, shape) = (ROPE_FACTORS.into(), vec![values.len() as u64]);
        tensors.push(TensorInfo { name, shape, kind: 0, bytes: factors.len() as u64 });
    }
    let header = header(&head.metadata, &tensors);
    let bytes = header.len() as u64
        + tensors.iter().map(|tensor| tensor.bytes.next_multiple_of(ALIGNMENT)).sum::<u64>();
    let folder = CheckpointFolder { out: options.out, kind: CHECKPOINT, force: options.force, bytes };
    let mut errors = vec![];
    let written = folder.write(options.progress, |out| {
        options.progress.begin("decoding", bytes);
        let mut file = OutputBytes::create(&out.join(GGUF_FILE))?;
        file.put(&header)?;
        for planned in planned {
            errors.push(planned.choice.encoding.write(plan, &planned.weight, &mut file)?);
            let bytes = planned.bytes();
            file.put(&vec![0; (bytes.next_multiple_of(ALIGNMENT) - bytes) as usize])?;
            if options.progress.advance(&planned.weight.name, bytes).is_break() {
                return Err(EmitError::Interrupted);
            }
        }
        file.put(&factors)?;
        file.put(&vec![0; factors.len().next_multiple_of(ALIGNMENT as usize) - factors.len()])?;
        file.finish()?;
        write_marker(plan, out)
    })?;
    Ok((written, errors))
}
