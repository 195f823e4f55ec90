//! The manifest's tensors: names, shapes, stored arrays and their places, before any byte is looked at.

use std::collections::BTreeSet;

use samp_abi::{
    Component, Format,
    plan::{MANIFEST_FILE, Plan, StoredComponent, Tensor, align_part, header_of, parts_by_file},
};

use super::fault::{Fault, Findings, Place};

const MAX_DIMENSION: u64 = 1 << 31;
const MAX_ELEMENTS: u64 = 1 << 40;
/// Weights files: at the usual 5 GB each, twenty terabytes.
const MAX_FILES: u64 = 1 << 12;

/// Checks every tensor and the tiling of the weights files. Whether they hold: parts may then be sliced.
pub(super) fn check(plan: &Plan, findings: &mut Findings) -> bool {
    let before = findings.count();
    let mut place = findings.at(MANIFEST_FILE, "weights");
    place.in_range("files", plan.weights.len() as u64, MAX_FILES);
    let mut names = BTreeSet::new();
    for (index, tensor) in plan.tensors.iter().enumerate() {
        let name = tensor.name.as_str();
        let mut place = findings.at(MANIFEST_FILE, format_args!("tensor {index} `{}`", name.escape_debug()));
        let fresh = !name.is_empty() && names.insert(name);
        place.check(fresh, Fault::TensorName, "a name that no other tensor has", format_args!("`{name}`"));
        if check_shape(tensor, &mut place) {
            check_parts(tensor, plan.weights.len() as u64, &mut place);
            check_sources(tensor, &mut place);
        }
    }
    if findings.count() == before {
        check_tiling(plan, findings);
    }
    findings.count() == before
}

fn check_shape(tensor: &Tensor, place: &mut Place<'_>) -> bool {
    let &Tensor { rows, cols, format, .. } = tensor;
    let elements = rows.checked_mul(cols);
    place.in_range("rows", rows, MAX_DIMENSION)
        && place.in_range("cols", cols, MAX_DIMENSION)
        && place.check(
            elements.is_some_and(|e| e <= MAX_ELEMENTS),
            Fault::TooLarge,
            format_args!("at most {MAX_ELEMENTS} elements"),
            format_args!("{rows} × {cols}"),
        )
        && place.check(
            cols.is_multiple_of(format.column_multiple()),
            Fault::TensorShape,
            format_args!("{format} columns in multiples of {}", format.column_multiple()),
            cols,
        )
        && place.check(
            tensor.layout.holds(format, cols),
            Fault::TensorShape,
            format_args!("a format and columns that {} holds", tensor.layout),
            format_args!("{format}, {cols} columns"),
        )
}

/// The number of outlier columns, as the shape of their indices says.
fn outliers(tensor: &Tensor) -> u64 {
    let indices = tensor.parts.iter().find(|p| p.component == Component::OutlierColumns);
    match (tensor.format, indices) {
        (Format::Int8 { outliers: true }, Some(part)) => part.shape.first().copied().unwrap_or(0),
        _ => 0,
    }
}

fn check_parts(tensor: &Tensor, files: u64, place: &mut Place<'_>) {
    let kept = outliers(tensor);
    if !place.check(kept <= tensor.cols, Fault::TensorParts, "at most as many outliers as columns", kept) {
        return;
    }
    let specs = tensor.layout.components(tensor.format, tensor.rows, tensor.cols, kept);
    let names = |mut all: Vec<&'static str>| std::mem::take(&mut all).join(", ");
    let expected = names(specs.iter().map(|s| s.component.name()).collect());
    let found = names(tensor.parts.iter().map(|p| p.component.name()).collect());
    if !place.check(expected == found, Fault::TensorParts, &expected, &found) {
        return;
    }
    for (spec, part) in specs.iter().zip(&tensor.parts) {
        let name = spec.component.name();
        place.check(
            (spec.dtype, &spec.shape, spec.bytes()) == (part.dtype, &part.shape, part.bytes),
            Fault::TensorParts,
            format_args!("{name} {:?} {:?}, {} bytes", spec.dtype, spec.shape, spec.bytes()),
            format_args!("{:?} {:?}, {} bytes", part.dtype, part.shape, part.bytes),
        );
        let file = u64::from(part.file);
        place.check(file < files, Fault::PartPlace, format_args!("{name} in one of {files} files"), file);
    }
}

/// A matrix is its sources' rows one after another; a vector its sources' elements.
fn check_sources(tensor: &Tensor, place: &mut Place<'_>) {
    let first = |s: &samp_abi::plan::Source| s.shape.first().copied().unwrap_or(0);
    let total = tensor.sources.iter().try_fold(0u64, |sum, s| sum.checked_add(first(s)));
    let matrix = || {
        total == Some(tensor.rows)
            && tensor.sources.iter().all(|s| s.shape.len() == 2 && s.shape[1] == tensor.cols)
    };
    let vector = || {
        tensor.rows == 1 && total == Some(tensor.cols) && tensor.sources.iter().all(|s| s.shape.len() == 1)
    };
    let shapes: Vec<_> = tensor.sources.iter().map(|s| &s.shape).collect();
    place.check(
        matrix() || vector(),
        Fault::TensorSources,
        format_args!("shapes that stack up to [{}, {}]", tensor.rows, tensor.cols),
        format_args!("{shapes:?}"),
    );
}

/// The parts follow one another as the rule of [`samp_abi::plan::weights_header`] says, and fill their files.
fn check_tiling(plan: &Plan, findings: &mut Findings) {
    let mut total = 0u64;
    let by_file = parts_by_file(&plan.tensors, plan.weights.len());
    for (file, parts) in plan.weights.iter().zip(by_file) {
        let header = header_of(parts.iter().copied());
        let mut end = header.as_ref().map(|h| h.len() as u64);
        for (tensor, part) in parts {
            let mut place = findings.at(MANIFEST_FILE, part_name(tensor, part));
            let expected = end.map_or("a size that fits".into(), |e| format!("offset {e}"));
            place.check(end == Some(part.offset), Fault::PartPlace, expected, part.offset);
            end = end.and_then(|e| align_part(e.checked_add(part.bytes)?));
            total = total.saturating_add(part.bytes);
        }
        let mut place = findings.at(MANIFEST_FILE, &file.path);
        let expected = end.map_or("a size that fits".into(), |e| format!("{e} bytes"));
        place.check(end == Some(file.bytes), Fault::FileSize, expected, file.bytes);
        let length = header.map_or(0, |h| h.len() as u64);
        place.check(
            length == file.header_bytes,
            Fault::WeightsHeader,
            format_args!("{length} bytes"),
            file.header_bytes,
        );
    }
    let (mut place, said) = (findings.at(MANIFEST_FILE, "memory.weights_bytes"), plan.memory.weights_bytes);
    place.check(total == said, Fault::Memory, total, said);
}

/// The name of a part in its file.
pub(super) fn part_name(tensor: &Tensor, part: &StoredComponent) -> String {
    format!("{}.{}", tensor.name, part.component.name())
}
