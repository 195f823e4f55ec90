//! Constraints that no formats keep, whatever measuring would find: refused before it.

use samp_abi::Format;
use samp_ir::{Diagnostic, Phase};
use samp_passes::{
    Constraints, FormatCost, Matrix, MemberSensitivity, Sensitivities, WeightSensitivity, assign_precision,
    error_code::NOT_FOUND, matrices, projection_key,
};

use super::{
    cache_losses::kv_formats,
    device::{device, in_f16},
};
use crate::{
    certificate::{CacheLoss, Divergence, tried_formats},
    lower::{
        LowerOptions, Measurements, ModelSource, PlanSpec, SourceSpec, lower_model, lower_to_spec, selection,
    },
};

/// Refuses constraints on bytes, bits and times that cannot be kept by any choice of these formats, even if none of them
/// lost anything. What a search could not tell in time is not refused.
pub(crate) fn check_reach(
    source: &ModelSource,
    options: &LowerOptions,
    constraints: &Constraints,
    formats: &[Format],
) -> Result<(), Diagnostic> {
    let nothing = Measurements::default();
    let module = lower_model(source, options, &nothing, Phase::Fused, &[])?.module;
    let lossless = |format| CacheLoss {
        format,
        divergence: Divergence { measured: false, nats: 0.0, strata: Default::default() },
    };
    let caches: Vec<CacheLoss> = kv_formats(options, constraints).into_iter().map(lossless).collect();
    let memory = device(source, options, &nothing, &caches, &[])?;
    // Of the plan only the fused tensors' sources count, and f16 suits every shape: no recipe is asked for.
    let spec = lower_to_spec(source, &in_f16(options), &nothing)?;
    let known = lossless_everywhere(&matrices(&module), &spec, formats);
    match assign_precision(&module, &known, constraints, &memory, &selection(source, options)?) {
        Err(refusal) if refusal.code != NOT_FOUND => Err(refusal),
        _ => Ok(()),
    }
}

/// What a measurement would say that found no loss in any format. Outlier columns, which take more bytes, are left out.
fn lossless_everywhere(matrices: &[Matrix], spec: &PlanSpec, formats: &[Format]) -> Sensitivities {
    let weight = |matrix: &Matrix| {
        let fits = |format: &Format| matrix.cols.is_multiple_of(format.column_multiple());
        let fitting = tried_formats(formats, false).into_iter().filter(fits);
        let costs: Vec<FormatCost> =
            fitting.map(|format| FormatCost { format, nats: 0.0, strata: vec![] }).collect();
        let member = |source: &SourceSpec| MemberSensitivity {
            key: projection_key(&source.name).into(),
            rows: source.shape.first().copied().unwrap_or(0),
            formats: costs.clone(),
        };
        let tensor = spec.tensors.iter().find(|tensor| tensor.name == matrix.key);
        let joined = tensor.filter(|tensor| tensor.sources.len() > 1);
        let members = joined.iter().flat_map(|tensor| &tensor.sources).map(member).collect();
        WeightSensitivity { key: matrix.key.clone(), outliers: vec![], formats: costs, members }
    };
    Sensitivities { weights: matrices.iter().map(weight).collect(), strata: vec![] }
}
