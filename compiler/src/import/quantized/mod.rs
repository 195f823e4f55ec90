//! Checkpoints that another tool quantized: what their configuration says, and how their tensors make weights.
//!
//! A weight is codes, zero points and scales where they lie in the files ([`GridWeight`]); read as rows it is f32 as
//! the tool's own library dequantizes it, computed in f32 throughout.

mod bitsandbytes;
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

use std::collections::{BTreeMap, BTreeSet};

use samp_abi::Format;
use samp_ir::Diagnostic;
use samp_kernels::{encoded::Encoded, format::RowSource};

pub(super) use kv_scales::kv_scales;
pub(super) use method::{Method, beside_config, of_config};
pub(super) use read::E2M1;
pub(super) use stored::StoredTensor;
pub(super) use weight::GridWeight;

use super::{
    checkpoint::Checkpoint, file_names::CONFIG, findings::Findings, gguf::BlockWeight, parameter::Parameter,
};
use crate::error_code;
use keep::Lost;
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

/// A weight that has to be decoded.
#[derive(Clone, Debug)]
pub(super) enum QuantizedWeight {
    /// Codes with scales and zero points apart from them.
    Grid(Box<GridWeight>),
    /// Blocks of GGUF.
    Blocks(BlockWeight),
}

impl QuantizedWeight {
    pub(super) fn shape(&self) -> &[u64] {
        match self {
            QuantizedWeight::Grid(weight) => weight.shape(),
            QuantizedWeight::Blocks(weight) => weight.shape(),
        }
    }

    /// The format that holds the very values, or why there is none.
    pub(super) fn kept_format(&self) -> Result<Format, Lost> {
        match self {
            QuantizedWeight::Grid(weight) => weight.kept_format(),
            QuantizedWeight::Blocks(weight) => weight.kept_format(),
        }
    }

    /// Columns of what is read as a row.
    pub(super) fn cols(&self) -> usize {
        match self {
            QuantizedWeight::Grid(weight) => weight.cols(),
            QuantizedWeight::Blocks(weight) => weight.cols(),
        }
    }

    /// Every tensor that the values follow from.
    pub(super) fn tensors(&self) -> Vec<&StoredTensor> {
        match self {
            QuantizedWeight::Grid(weight) => weight.tensors().collect(),
            QuantizedWeight::Blocks(weight) => vec![weight.tensor()],
        }
    }
}

impl RowSource for QuantizedWeight {
    fn read(&self, first: usize, out: &mut [f32]) {
        match self {
            QuantizedWeight::Grid(weight) => weight.read(first, out),
            QuantizedWeight::Blocks(weight) => weight.read(first, out),
        }
    }
}

/// What was found of a quantized checkpoint's weights.
#[derive(Debug, Default)]
pub(super) struct QuantizedWeights {
    /// By the name that the architecture gives the weight.
    pub(super) weights: BTreeMap<String, QuantizedWeight>,
    /// Tensors that these are read from, and those that go with them.
    pub(super) read: BTreeSet<String>,
    /// Tensors that are left out.
    pub(super) left_out: Vec<String>,
}

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
        found.take_companions(checkpoint, name);
    }
    let expected = format!("expected weights as {} stores them", method.name());
    findings.into_result(error_code::QUANTIZED_TENSORS, CONFIG, &expected)?;
    for name in checkpoint.names().filter(|name| kv_scales::is_kv_scale(name)) {
        found.read.insert(name.to_owned());
    }
    Ok(found)
}

impl QuantizedWeights {
    /// A warning of what is left out.
    pub(super) fn warning(&self) -> Option<Diagnostic> {
        let first = self.left_out.first()?;
        let message = format!(
            "left out {} tensors that say how activations are to be quantized: weights do not depend on them",
            self.left_out.len()
        );
        Some(Diagnostic::bad_input(error_code::UNREAD_TENSORS, message).warning().at_tensor(first))
    }

    /// Takes note of the tensors of a module whose weight was looked for.
    fn take_companions(&mut self, checkpoint: &Checkpoint, module: &str) {
        let weight = self.weights.get(&format!("{module}.weight"));
        let prefix = format!("{module}.");
        for name in checkpoint.names_with_prefix(&prefix) {
            let ending = &name[prefix.len()..];
            if ACTIVATIONS.contains(&ending) {
                self.left_out.push(name.to_owned());
                self.read.insert(name.to_owned());
            } else if weight.is_some() && AUXILIARY.contains(&ending) {
                self.read.insert(name.to_owned());
            }
        }
        self.read
            .extend(weight.iter().flat_map(|weight| weight.tensors()).map(|part| part.name().to_owned()));
    }
}

/// Weights below one another as one tensor of `format`, code by code; `None` where they are not kept in it.
pub(super) fn kept(weights: &[&QuantizedWeight], format: Format) -> Option<Result<Encoded, Lost>> {
    let grids = weights.iter().map(|weight| match weight {
        QuantizedWeight::Grid(weight) if weight.kept_format() == Ok(format) => Some(&**weight),
        _ => None,
    });
    Some(keep::kept(&grids.collect::<Option<Vec<&GridWeight>>>()?, format))
}
