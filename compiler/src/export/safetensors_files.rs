//! The files of an exported checkpoint whose weights are in safetensors.

use std::path::Path;

use samp_runtime::OpenPlan;
use serde_json::{Value, json};

use super::{
    encoding::OutputBytes,
    hf_config::ExportedConfig,
    options::{CHECKPOINT, CONFIG, EXPORT_FILE, ExportOptions},
    planned::PlannedWeight,
};
use crate::{
    checkpoint_files::{
        CheckpointFolder, WeightsShard, WrittenFiles, header, shards, write_index, write_json,
    },
    emit::{EmitError, manifest::TOOL, staging::write_synced},
};

/// Files of a plan that belong to the plan alone.
const PLAN_ONLY: [&str; 4] = ["plan.mlir", "certificate.json", "golden.json", CONFIG];

/// A weights file of the export: whole weights.
type Shard = WeightsShard<PlannedWeight>;

/// Writes the checkpoint; gives the largest relative error of each weight, in their order.
pub(super) fn write(
    plan: &OpenPlan,
    config: &ExportedConfig,
    planned: Vec<PlannedWeight>,
    options: &ExportOptions<'_>,
) -> Result<(WrittenFiles, Vec<f32>), EmitError> {
    let shards = shards(planned, PlannedWeight::bytes, options.max_file_bytes);
    let bytes = shards.iter().map(|shard| shard.bytes).sum();
    let folder = CheckpointFolder { out: options.out, kind: CHECKPOINT, force: options.force, bytes };
    let mut errors = vec![];
    let written = folder.write(options.progress, |out| {
        options.progress.begin("decoding", bytes);
        for shard in &shards {
            errors.extend(write_shard(plan, shard, out, options)?);
        }
        write_index(out, &shards, PlannedWeight::part_names)?;
        write_json(&out.join(CONFIG), &Value::Object(config.keys.clone()))?;
        write_carried(plan, out)
    })?;
    Ok((written, errors))
}

/// The plan's files of text and generation, and where the checkpoint comes from.
fn write_carried(plan: &OpenPlan, out: &Path) -> Result<(), EmitError> {
    let manifest = plan.manifest();
    for file in manifest.files.iter().filter(|file| !PLAN_ONLY.contains(&file.path.as_str())) {
        if let (Some(bytes), false) = (plan.file(&file.path), file.path.contains('/')) {
            write_synced(&out.join(&file.path), bytes)?;
        }
    }
    write_marker(plan, out)
}

/// Says where the checkpoint comes from.
pub(super) fn write_marker(plan: &OpenPlan, out: &Path) -> Result<(), EmitError> {
    write_json(&out.join(EXPORT_FILE), &json!({ "tool": TOOL, "plan_digest": plan.manifest().digest }))
}

fn write_shard(
    plan: &OpenPlan,
    shard: &Shard,
    out: &Path,
    options: &ExportOptions<'_>,
) -> Result<Vec<f32>, EmitError> {
    let mut file = OutputBytes::create(&out.join(&shard.name))?;
    let parts: Vec<_> =
        shard.tensors.iter().flat_map(|planned| planned.choice.encoding.parts(&planned.weight)).collect();
    file.put(&header(parts.iter().map(|part| (part.name.as_str(), part.dtype, part.shape.as_slice()))))?;
    let mut errors = vec![];
    for planned in &shard.tensors {
        errors.push(planned.choice.encoding.write(plan, &planned.weight, &mut file)?);
        if options.progress.advance(&planned.weight.name, planned.bytes()).is_break() {
            return Err(EmitError::Interrupted);
        }
    }
    file.finish()?;
    Ok(errors)
}
