//! Export: the weights that a plan really computes with, as a checkpoint of another stack.
//!
//! For each weight of the checkpoint a stack chooses how it is stored: in the codes and scales that the plan has, where the
//! stack has a format for them, or as plain values. What would change a value is refused with the reason, unless rounding is
//! allowed or asked for; then the largest error of each weight is measured while it is written. A shared embedding stays
//! shared, and projections that the architecture stores as one tensor are one.
//!
//! Never: a computation on the weights beyond decoding, and the rounding that was asked for.

mod bitsandbytes;
mod codes;
mod compressed_tensors;
mod dense;
mod encoding;
mod float_type;
mod gguf;
mod hf_config;
mod options;
mod planned;
mod report;
mod rows;
mod safetensors_files;
mod weight;

use std::path::Path;

use samp_ir::Diagnostic;
use samp_runtime::OpenPlan;

use self::{
    dense::Dense,
    encoding::Choice,
    hf_config::{ExportedConfig, exported_config},
    planned::PlannedWeight,
    report::refuse_rounding,
    weight::{CheckpointWeight, checkpoint_weights},
};
use crate::{checkpoint_files::WrittenFiles, emit::EmitError, output_file::refuse_inside};

pub use float_type::FloatType;
pub use options::{EXPORT_FILE, ExportOptions, Stack};
pub use report::{Exported, ExportedGroup, ExportedTensor, grouped};

impl Stack {
    /// Its name, for people.
    fn name(self) -> &'static str {
        match self {
            Stack::HuggingFace(_) => "a plain checkpoint",
            Stack::CompressedTensors => "compressed-tensors",
            Stack::Bitsandbytes => "bitsandbytes",
            Stack::Gguf => "GGUF",
        }
    }

    /// The formats that it holds exactly, for people.
    fn holds(self) -> &'static str {
        match self {
            Stack::HuggingFace(_) => "any",
            Stack::CompressedTensors => compressed_tensors::HOLDS,
            Stack::Bitsandbytes => bitsandbytes::HOLDS,
            Stack::Gguf => gguf::HOLDS,
        }
    }

    /// How a weight is stored.
    fn choose(
        self,
        plan: &OpenPlan,
        config: &ExportedConfig,
        weight: &CheckpointWeight,
    ) -> Result<Choice, Diagnostic> {
        Ok(match self {
            Stack::HuggingFace(to) => Choice::exact(Dense(to)),
            Stack::CompressedTensors => compressed_tensors::choose(plan.manifest(), weight),
            Stack::Bitsandbytes => bitsandbytes::choose(plan, weight),
            Stack::Gguf => gguf::choose(plan, config, weight)?,
        })
    }
}

/// Writes the effective weights of the plan in `plan` as a checkpoint. The plan is checked whole before; on any error nothing
/// stands at the target.
///
/// # Errors
/// The plan does not open or lacks a configuration, the stack cannot hold a weight's values and rounding is not allowed, a
/// value overflows the type that it is rounded to, or the target cannot be written.
pub fn export(plan: &Path, options: &ExportOptions<'_>) -> Result<Exported, EmitError> {
    export_plan(&samp_runtime::open(plan)?, options)
}

/// The same for a plan that is open.
///
/// # Errors
/// As of [`export`].
pub fn export_plan(plan: &OpenPlan, options: &ExportOptions<'_>) -> Result<Exported, EmitError> {
    refuse_inside(options.out, plan.dir()).map_err(EmitError::Import)?;
    let config = exported_config(plan)?;
    let stack = options.stack;
    let mut planned = vec![];
    for weight in checkpoint_weights(plan.manifest(), &config.model) {
        let choice = stack.choose(plan, &config, &weight)?;
        planned.push(PlannedWeight { weight, choice });
    }
    let tensors: Vec<ExportedTensor> = planned.iter().map(|planned| planned.report(plan)).collect();
    if !options.allow_rounding {
        refuse_rounding(stack.name(), stack.holds(), &tensors)?;
    }
    let (written, errors, notes) = write(plan, config, planned, options)?;
    let tensors = tensors.into_iter().zip(errors);
    let tensors =
        tensors.map(|(tensor, largest_relative_error)| ExportedTensor { largest_relative_error, ..tensor });
    Ok(Exported { files: written.files, bytes: written.bytes, tensors: tensors.collect(), notes })
}

/// Writes what was planned; gives the largest relative error of each weight, and what people should know.
fn write(
    plan: &OpenPlan,
    mut config: ExportedConfig,
    planned: Vec<PlannedWeight>,
    options: &ExportOptions<'_>,
) -> Result<(WrittenFiles, Vec<f32>, Vec<String>), EmitError> {
    let mut notes = vec![];
    match options.stack {
        Stack::Gguf => {
            let head = gguf::head(plan, &config)?;
            let (written, errors) = gguf::write(plan, &config, &head, &planned, options)?;
            return Ok((written, errors, head.notes));
        }
        Stack::HuggingFace(to) => config.set_dtype(to.torch_name()),
        Stack::CompressedTensors => {
            config.set_dtype(float_type(&planned).torch_name());
            let weights: Vec<&CheckpointWeight> = planned.iter().map(|planned| &planned.weight).collect();
            let (description, found) = compressed_tensors::describe(plan.manifest(), &weights);
            config.keys.insert("quantization_config".into(), description);
            notes = found;
        }
        Stack::Bitsandbytes => {
            config.set_dtype(float_type(&planned).torch_name());
            let linears = planned.iter().filter(|planned| planned.weight.is_linear());
            let kinds: Vec<(&str, String)> =
                linears.map(|planned| (planned.weight.module(), planned.choice.encoding.name())).collect();
            config.keys.insert("quantization_config".into(), bitsandbytes::describe(plan.manifest(), &kinds));
        }
    }
    let (written, errors) = safetensors_files::write(plan, &config, planned, options)?;
    Ok((written, errors, notes))
}

/// What readers are to compute in, so that scales and plain matrices are not rounded as they are loaded: f16 if any are in it,
/// else bf16, else f32.
fn float_type(planned: &[PlannedWeight]) -> FloatType {
    let matrices = planned.iter().filter(|planned| planned.weight.matrix().is_some());
    let types: Vec<FloatType> = matrices.filter_map(|planned| planned.choice.encoding.float_type()).collect();
    let found = [FloatType::F16, FloatType::Bf16].into_iter().find(|wanted| types.contains(wanted));
    found.unwrap_or_default()
}
