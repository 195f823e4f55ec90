//! Export: the weights that a plan really computes with, as a Hugging Face checkpoint in f32 that any tool can judge.
//!
//! Each tensor is decoded a piece at a time; its values are those of its sources one after another, so that the pieces
//! go straight to the file under the sources' own names and shapes. A shared embedding stays shared, and projections that the
//! architecture stores as one tensor are one.
//!
//! Never: a computation on the weights beyond decoding them.

mod stored_tensors;

use std::{fs::File, io::Write, path::Path};

use rayon::prelude::*;
use samp_abi::{
    ElementType,
    plan::{Plan, Tensor},
};
use samp_kernels::{encoded::EncodedRef, format::decode_rows};
use samp_runtime::{OpenPlan, Progress};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::stored_tensors::{StoredTensors, stored_tensors};
use crate::{
    checkpoint_files::{CheckpointFolder, WeightsShard, header, own_files, shards, write_index, write_json},
    emit::{EmitError, error::During, manifest::TOOL, output_kind::OutputKind, staging::write_synced},
    import::{ModelConfig, RopeScaling, parse_config},
    lower::DEFAULT_FILE_BYTES,
    output_file::refuse_inside,
};

/// Says which plan an exported checkpoint came from, and that it may be replaced by another export.
pub const EXPORT_FILE: &str = "samp-export.json";
const CHECKPOINT: OutputKind = OutputKind {
    name: "a checkpoint that samp exported",
    marker: EXPORT_FILE,
    own: |folder| own_files(folder, EXPORT_FILE),
};
const CONFIG: &str = "config.json";
/// Files of a plan that belong to the plan alone.
const PLAN_ONLY: [&str; 4] = ["plan.mlir", "certificate.json", "golden.json", CONFIG];
/// Values that are decoded at once.
const PIECE: usize = 1 << 22;

/// How to export.
pub struct ExportOptions<'a> {
    /// The folder to make.
    pub out: &'a Path,
    /// Replace an export that is already there.
    pub force: bool,
    /// Most data bytes of one file, unless a single tensor takes more.
    pub max_file_bytes: u64,
    /// Hears of progress.
    pub progress: &'a dyn Progress,
}

impl<'a> ExportOptions<'a> {
    /// Exports to `out`, with files of the usual size.
    pub fn new(out: &'a Path, force: bool, progress: &'a dyn Progress) -> ExportOptions<'a> {
        ExportOptions { out, force, max_file_bytes: DEFAULT_FILE_BYTES, progress }
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Exported {
    /// Number of files.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes the effective weights of the plan in `plan` as a Hugging Face checkpoint. The plan is checked whole before;
/// on any error nothing stands at the target.
pub fn export_hf(plan: &Path, options: &ExportOptions<'_>) -> Result<Exported, EmitError> {
    export_plan(&samp_runtime::open(plan)?, options)
}

/// The same for a plan that is open.
pub fn export_plan(plan: &OpenPlan, options: &ExportOptions<'_>) -> Result<Exported, EmitError> {
    refuse_inside(options.out, plan.dir()).map_err(EmitError::Import)?;
    let manifest = plan.manifest();
    let (config, keys) = config(plan)?;
    let stored = stored_tensors(manifest, &config);
    let shards = shards(stored, |stored| f32_bytes(manifest, stored), options.max_file_bytes);
    let bytes = shards.iter().map(|shard| shard.bytes).sum();
    let folder = CheckpointFolder { out: options.out, kind: CHECKPOINT, force: options.force, bytes };
    let written = folder.write(options.progress, |out| write(plan, &keys, &shards, out, options))?;
    Ok(Exported { files: written.files, bytes: written.bytes })
}

/// Bytes of tensors' values.
fn f32_bytes(plan: &Plan, stored: &StoredTensors) -> u64 {
    let tensors = stored.tensors.iter().map(|id| &plan.tensors[id.0 as usize]);
    tensors.map(Tensor::weights).sum::<u64>() * ElementType::F32.bytes()
}

/// A weights file of the export: whole tensors.
type Shard = WeightsShard<StoredTensors>;

/// Writes every file.
fn write(
    plan: &OpenPlan,
    config: &Value,
    shards: &[Shard],
    out: &Path,
    options: &ExportOptions<'_>,
) -> Result<(), EmitError> {
    options.progress.begin("decoding", shards.iter().map(|shard| shard.bytes).sum());
    for shard in shards {
        write_shard(plan, shard, &out.join(&shard.name), options.progress)?;
    }
    let manifest = plan.manifest();
    write_index(out, shards, |stored| stored.named.iter().map(|(name, _)| name.as_str()))?;
    write_json(&out.join(CONFIG), config)?;
    for file in manifest.files.iter().filter(|file| !PLAN_ONLY.contains(&file.path.as_str())) {
        if let (Some(bytes), false) = (plan.file(&file.path), file.path.contains('/')) {
            write_synced(&out.join(&file.path), bytes)?;
        }
    }
    write_json(&out.join(EXPORT_FILE), &json!({ "tool": TOOL, "plan_digest": manifest.digest }))
}

fn write_shard(
    plan: &OpenPlan,
    shard: &Shard,
    path: &Path,
    progress: &dyn Progress,
) -> Result<(), EmitError> {
    let mut file = File::create(path).during("creating", path)?;
    let within = shard.tensors.iter().flat_map(|stored| &stored.named);
    let within = within.map(|(name, shape)| (name.as_str(), shape.as_slice()));
    file.write_all(&header(within, ElementType::F32)).during("writing", path)?;
    for stored in &shard.tensors {
        for &id in &stored.tensors {
            write_values(&mut file, plan.tensor(id)).during("writing", path)?;
        }
        let (name, _) = &stored.named[0];
        if progress.advance(name, f32_bytes(plan.manifest(), stored)).is_break() {
            return Err(EmitError::Interrupted);
        }
    }
    file.sync_all().during("syncing", path)
}

/// Decodes and writes a tensor, a piece of whole rows at a time.
fn write_values(file: &mut File, tensor: EncodedRef<'_>) -> std::io::Result<()> {
    let cols = tensor.cols;
    let piece_rows = (PIECE / cols).clamp(1, tensor.rows);
    let mut piece = vec![0.0f32; piece_rows * cols];
    for first in (0..tensor.rows).step_by(piece_rows) {
        let rows = piece_rows.min(tensor.rows - first);
        let values = &mut piece[..rows * cols];
        let decode = |(row, out): (usize, &mut [f32])| decode_rows(tensor, first + row, out);
        values.par_chunks_mut(cols).enumerate().for_each(decode);
        file.write_all(bytemuck::cast_slice(values))?;
    }
    Ok(())
}

/// The model's configuration, and its `config.json`, which now has to say f32, the frequencies that the plan computes with, and
/// what its weights have taken up.
fn config(plan: &OpenPlan) -> Result<(ModelConfig, Value), EmitError> {
    let refuse = |why: String| EmitError::NotExportable { path: plan.dir().into(), why };
    let bytes = plan.file(CONFIG).ok_or_else(|| refuse(format!("it carries no {CONFIG}")))?;
    let model = parse_config(bytes, CONFIG)?;
    let mut config: Value =
        serde_json::from_slice(bytes).map_err(|e| refuse(format!("its {CONFIG} is not JSON: {e}")))?;
    let keys = config.as_object_mut().ok_or_else(|| refuse(format!("its {CONFIG} is no object")))?;
    keys.insert("torch_dtype".into(), "float32".into());
    if let Some(dtype) = keys.get_mut("dtype") {
        *dtype = "float32".into();
    }
    if model.final_norm_scale != 1.0 {
        keys.insert("logits_scaling".into(), 1.0.into());
    }
    fix_context(keys, &model, plan.manifest().limits.max_context);
    Ok((model, config))
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
