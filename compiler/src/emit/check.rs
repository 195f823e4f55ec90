//! Whether a specification can be carried out with a checkpoint, asked before any work begins.

use std::collections::BTreeSet;

use samp_abi::Format;
use samp_kernels::format::EncodeError;

use super::error::EmitError;
use crate::import::Checkpoint;
use crate::lower::{PlanSpec, SourceSpec, TensorSpec};

/// Refuses what emission cannot do: formats that need statistics, widths that do not fit the format, sources that
/// are missing or not as specified, names that would collide.
pub(super) fn check(spec: &PlanSpec, checkpoint: &Checkpoint) -> Result<(), EmitError> {
    let mut names = BTreeSet::new();
    for tensor in &spec.tensors {
        if !names.insert(&tensor.name) {
            return Err(mismatch(&tensor.name, "a name of its own", "another tensor of the same name"));
        }
        check_format(tensor)?;
        check_shape(tensor)?;
        tensor.sources.iter().try_for_each(|source| check_source(source, checkpoint))?;
    }
    Ok(())
}

fn check_format(tensor: &TensorSpec) -> Result<(), EmitError> {
    if tensor.format == Format::INT8_OUTLIERS && tensor.kept_columns().is_empty() {
        return Err(EmitError::OutlierStatistics(tensor.name.clone()));
    }
    let (cols, multiple) = (tensor.cols, tensor.format.column_multiple());
    if !cols.is_multiple_of(multiple) {
        let (format, multiple, cols) = (tensor.format, multiple as usize, cols as usize);
        let source = EncodeError::Columns { format, multiple, cols };
        return Err(EmitError::Encode { tensor: tensor.name.clone(), source });
    }
    Ok(())
}

/// The sources' elements are the tensor's, and whole rows of it.
fn check_shape(tensor: &TensorSpec) -> Result<(), EmitError> {
    let whole_rows = tensor.sources.iter().all(|s| tensor.rows == 1 || s.shape.last() == Some(&tensor.cols));
    let elements: u64 = tensor.sources.iter().map(SourceSpec::elements).sum();
    if whole_rows && elements == tensor.elements() {
        return Ok(());
    }
    let shapes: Vec<_> = tensor.sources.iter().map(|s| &s.shape).collect();
    let expected = format!("sources that make up [{}, {}]", tensor.rows, tensor.cols);
    Err(mismatch(&tensor.name, &expected, &format!("shapes {shapes:?}")))
}

fn check_source(source: &SourceSpec, checkpoint: &Checkpoint) -> Result<(), EmitError> {
    let expected = format!("{} {:?}", source.dtype.safetensors_name(), source.shape);
    let Some(tensor) = checkpoint.weight(&source.name) else {
        return Err(mismatch(&source.name, &expected, "no such tensor"));
    };
    if tensor.dtype == source.dtype && tensor.shape == source.shape {
        return Ok(());
    }
    let found = format!("{} {:?}", tensor.dtype.safetensors_name(), tensor.shape);
    Err(mismatch(&source.name, &expected, &found))
}

fn mismatch(tensor: &str, expected: &str, found: &str) -> EmitError {
    EmitError::Mismatch { tensor: tensor.into(), expected: expected.into(), found: found.into() }
}
