//! The `config.json` of an exported checkpoint.

use samp_runtime::OpenPlan;
use serde_json::{Map, Value, json};

use super::options::CONFIG;
use crate::{
    emit::EmitError,
    import::{ModelConfig, RopeScaling, parse_config},
};

/// What the model is: as samp reads it, and as `config.json` says it.
pub(super) struct ExportedConfig {
    pub(super) model: ModelConfig,
    pub(super) keys: Map<String, Value>,
}

/// The plan's own configuration, which now has to say the frequencies that the plan computes with, and what its weights have
/// taken up.
pub(super) fn exported_config(plan: &OpenPlan) -> Result<ExportedConfig, EmitError> {
    let refuse = |why: String| EmitError::NotExportable { path: plan.dir().into(), why };
    let bytes = plan.file(CONFIG).ok_or_else(|| refuse(format!("it carries no {CONFIG}")))?;
    let model = parse_config(bytes, CONFIG)?;
    let mut keys: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|e| refuse(format!("its {CONFIG} is no JSON object: {e}")))?;
    // A plan of a quantized checkpoint has weights of its own formats.
    for key in ["quantization_config", "compression_config"] {
        keys.remove(key);
    }
    if model.final_norm_scale != 1.0 {
        keys.insert("logits_scaling".into(), 1.0.into());
    }
    fix_context(&mut keys, &model, plan.manifest().limits.max_context);
    Ok(ExportedConfig { model, keys })
}

impl ExportedConfig {
    /// Says what the weights are in, in the words of torch.
    pub(super) fn set_dtype(&mut self, name: &str) {
        self.keys.insert("torch_dtype".into(), name.into());
        if let Some(dtype) = self.keys.get_mut("dtype") {
            *dtype = name.into();
        }
    }
}

/// Under dynamic rotary scaling and under LongRoPE the frequencies follow the length of what is read; the plan's are those of
/// its longest context.
fn fix_context(keys: &mut Map<String, Value>, model: &ModelConfig, context: u64) {
    let trained = model.max_position_embeddings;
    match &model.rope.scaling {
        // A plain embedding of the stretched base has the same ones at any length.
        RopeScaling::Dynamic { .. } if context > trained => {
            keys.remove("rope_parameters");
            keys.insert("rope_scaling".into(), Value::Null);
            keys.insert("rope_theta".into(), model.rope.base(trained, context).into());
            keys.insert("max_position_embeddings".into(), context.into());
        }
        RopeScaling::LongRope { short, long, original_context, .. } => {
            let used = json!(if context > *original_context { long } else { short });
            for key in ["rope_scaling", "rope_parameters"] {
                if let Some(scaling) = keys.get_mut(key).and_then(Value::as_object_mut) {
                    scaling.insert("short_factor".into(), used.clone());
                    scaling.insert("long_factor".into(), used.clone());
                }
            }
        }
        _ => {}
    }
}
