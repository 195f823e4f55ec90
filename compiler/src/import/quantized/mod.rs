//! Checkpoints that another tool quantized: what their configuration says, and how their tensors make weights.
//!
//! A weight is codes, zero points and scales where they lie in the files ([`GridWeight`]); read as rows it is f32 as
//! the tool's own library dequantizes it, computed in f32 throughout.

mod bitsandbytes;
mod block_size;
mod codes;
mod compressed;
mod keep;
mod kv_scales;
mod method;
mod module;
mod read;
mod refused;
mod scales;
mod stored;
mod weight;
mod weights;

use samp_ir::Diagnostic;

pub(super) use kv_scales::kv_scales;
pub(super) use method::{Method, beside_config, of_config};
pub(super) use stored::StoredTensor;
pub(super) use weights::{QuantizedWeight, QuantizedWeights, kept};

use super::{checkpoint::Checkpoint, file_names::CONFIG, findings::Findings, parameter::Parameter};
use crate::error_code;
use module::QuantizedModule;

/// Endings of a module's tensors that say how its inputs are to be quantized. Weights do not depend on them.
const ACTIVATIONS: &[&str] = &["input_scale", "input_scale_ub", "input_zero_point", "input_global_scale"];

/// Endings of a module's tensors that say how its other ones are to be read.
const AUXILIARY: &[&str] = &[
    "g_idx",
    "weight_g_idx",
    "weight_format",
    "weight_shape",
    "weight.nested_quant_map",
    "weight.quant_map",
    "weight.quant_state.bitsandbytes__fp4",
    "weight.quant_state.bitsandbytes__nf4",
    "weight_global_scale",
    "weight_scale_2",
];

/// Finds the weights of `parameters` that are quantized by `method`. All faults come in one diagnostic.
pub(super) fn find(
    method: &Method,
    parameters: &[Parameter],
    checkpoint: &Checkpoint,
) -> Result<QuantizedWeights, Diagnostic> {
    let mut found = QuantizedWeights::default();
    let mut findings = Findings::default();
    for parameter in parameters {
        let (Some(name), [rows, cols]) = (parameter.source.strip_suffix(".weight"), &parameter.shape[..])
        else {
            continue;
        };
        let module = QuantizedModule { checkpoint, name, rows: *rows as usize, cols: *cols as usize };
        match read::weight(method, &module) {
            Ok(None) => {}
            Ok(Some(weight)) => {
                found.weights.insert(parameter.source.clone(), QuantizedWeight::Grid(Box::new(weight)));
            }
            Err(message) => findings.add(None, &parameter.source, message),
        }
        take_companions(&mut found, checkpoint, name);
    }
    let expected = format!("expected weights as {} stores them", method.name());
    findings.into_result(error_code::QUANTIZED_TENSORS, CONFIG, &expected)?;
    for name in checkpoint.names().filter(|name| kv_scales::is_kv_scale(name)) {
        found.read.insert(name.to_owned());
    }
    Ok(found)
}

/// Takes note of the tensors of a module whose weight was looked for.
fn take_companions(found: &mut QuantizedWeights, checkpoint: &Checkpoint, module: &str) {
    let weight = found.weights.get(&format!("{module}.weight"));
    let prefix = format!("{module}.");
    for name in checkpoint.names_with_prefix(&prefix) {
        let ending = &name[prefix.len()..];
        if ACTIVATIONS.contains(&ending) {
            found.left_out.push(name.to_owned());
            found.read.insert(name.to_owned());
        } else if weight.is_some() && AUXILIARY.contains(&ending) {
            found.read.insert(name.to_owned());
        }
    }
    found.read.extend(weight.iter().flat_map(|weight| weight.tensors()).map(|part| part.name().to_owned()));
}
