//! The bytes of the weights files: headers, hashes, padding and stored values, in one parallel pass.

use memmap2::Mmap;
use rayon::prelude::*;
use samp_abi::{
    Component, ElementType, Format, Layout, TILE_ROWS,
    plan::{Plan, StoredComponent, Tensor, WeightsFile, align_part, header_of, parts_by_file},
};

use samp_kernels::format::FP8_MAX;

use super::{
    fault::{Fault, Findings, Place, PlanError},
    tensors::part_name,
};

const TILE: usize = TILE_ROWS as usize;
/// Parts from this size on are hashed by several threads.
const PARALLEL_HASH_BYTES: usize = 1 << 20;

/// Checks every byte of the mapped files; `plan`'s tensors have been found to tile them.
pub(super) fn check(plan: &Plan, files: &[Option<Mmap>], findings: &mut Findings) {
    let by_file = parts_by_file(&plan.tensors, plan.weights.len());
    for ((file, bytes), parts) in plan.weights.iter().zip(files).zip(by_file) {
        if let Some(bytes) = bytes {
            let expected = header_of(parts).unwrap_or_default();
            check_header(&expected, file, &bytes[..file.header_bytes as usize], findings);
        }
    }
    let parts: Vec<(&Tensor, &StoredComponent)> =
        plan.tensors.iter().flat_map(|t| t.parts.iter().map(move |p| (t, p))).collect();
    let faults: Vec<PlanError> = parts
        .par_iter()
        .flat_map_iter(|(tensor, part)| {
            let mut findings = Findings::default();
            if let Some(bytes) = &files[part.file as usize] {
                let path = &plan.weights[part.file as usize].path;
                check_part(tensor, part, bytes, &mut findings.at(path, part_name(tensor, part)));
            }
            findings.0
        })
        .collect();
    findings.0.extend(faults);
    plan.tensors.iter().for_each(|tensor| check_outliers(plan, tensor, files, findings));
}

/// The codes of columns that are kept apart are zero, so that no device counts them twice.
fn check_outliers(plan: &Plan, tensor: &Tensor, files: &[Option<Mmap>], findings: &mut Findings) {
    let bytes = |component: Component| {
        let part = tensor.parts.iter().find(|p| p.component == component)?;
        let file = files[part.file as usize].as_ref()?;
        Some((part, &file[part.offset as usize..(part.offset + part.bytes) as usize]))
    };
    let (Some((part, codes)), Some((_, columns))) =
        (bytes(Component::Values), bytes(Component::OutlierColumns))
    else {
        return;
    };
    let (rows, cols) = (tensor.rows as usize, tensor.cols as usize);
    let place = |row: usize, column: usize| match tensor.layout {
        // Formats with outliers are never in fragments.
        Layout::RowMajor | Layout::MmaFragments => row * cols + column,
        Layout::Rows16 => (row / TILE * cols + column) * TILE + row % TILE,
    };
    let columns: &[u32] = bytemuck::cast_slice(columns);
    let kept = columns.iter().map(|&column| column as usize).filter(|&column| column < cols);
    let wrong =
        kept.flat_map(|column| (0..rows).map(move |row| place(row, column))).find(|&at| codes[at] != 0);
    if let Some(at) = wrong {
        let path = &plan.weights[part.file as usize].path;
        let found = format_args!("another code at element {at}");
        let expected = "zeros in the outlier columns";
        findings.at(path, part_name(tensor, part)).wrong(Fault::PartValues, expected, found);
    }
}

fn check_header(expected: &[u8], file: &WeightsFile, found: &[u8], findings: &mut Findings) {
    let mut place = findings.at(&file.path, "header");
    let difference = expected.iter().zip(found).position(|(a, b)| a != b);
    if let Some(at) = difference {
        place.wrong(
            Fault::WeightsHeader,
            "the header that the manifest implies",
            format_args!("another byte {at}"),
        );
    }
    let hash = blake3::hash(found).to_hex();
    place.check(*hash == *file.header_blake3, Fault::FileHash, &file.header_blake3, hash);
}

fn check_part(tensor: &Tensor, part: &StoredComponent, file: &[u8], place: &mut Place<'_>) {
    let (start, end) = (part.offset as usize, (part.offset + part.bytes) as usize);
    let bytes = &file[start..end];
    let mut hasher = blake3::Hasher::new();
    if bytes.len() < PARALLEL_HASH_BYTES {
        hasher.update(bytes)
    } else {
        hasher.update_rayon(bytes)
    };
    let hash = hasher.finalize().to_hex();
    place.check(*hash == *part.blake3, Fault::PartHash, &part.blake3, hash);
    let next = align_part(end as u64).map_or(file.len(), |n| (n as usize).min(file.len()));
    place.check(file[end..next].iter().all(|&b| b == 0), Fault::Padding, "zeros after it", "something else");
    if let Some((expected, index)) = first_bad_value(tensor, part, bytes) {
        place.wrong(Fault::PartValues, expected, format_args!("another value at element {index}"));
    }
}

/// The largest value that a code stands for before its scale.
fn largest_code(format: Format) -> f32 {
    match format {
        Format::Fp8E4m3(_) => FP8_MAX,
        Format::Int8 { .. } => 128.0,
        _ => 1.0,
    }
}

/// What the elements of a part must be, and the first that is not.
fn first_bad_value(tensor: &Tensor, part: &StoredComponent, bytes: &[u8]) -> Option<(&'static str, usize)> {
    let find16 = |exponent: u16| {
        let words: &[u16] = bytemuck::cast_slice(bytes);
        words.iter().position(|w| w & exponent == exponent)
    };
    let (expected, position) = match (part.dtype, tensor.format) {
        (ElementType::F32, format) if part.component == Component::Scales => {
            let values: &[f32] = bytemuck::cast_slice(bytes);
            let largest = f32::MAX / largest_code(format);
            let holds = |scale: &f32| (f32::MIN_POSITIVE..=largest).contains(scale);
            ("scales above 0 that keep every code finite", values.iter().position(|scale| !holds(scale)))
        }
        (ElementType::F32, _) => {
            let values: &[f32] = bytemuck::cast_slice(bytes);
            ("finite numbers", values.iter().position(|v| !v.is_finite()))
        }
        (ElementType::F16, _) => ("finite numbers", find16(0x7C00)),
        (ElementType::Bf16, _) => ("finite numbers", find16(0x7F80)),
        (ElementType::U8, Format::Fp8E4m3(_)) => {
            ("codes other than NaN", bytes.iter().position(|b| b & 0x7F == 0x7F))
        }
        (ElementType::U8, _)
            if part.component == Component::ZeroPoints && tensor.layout != Layout::RowMajor =>
        {
            ("zero points up to 15", bytes.iter().position(|&b| b > 15))
        }
        (ElementType::U32, _) if part.component == Component::OutlierColumns => {
            let columns: &[u32] = bytemuck::cast_slice(bytes);
            let holds =
                |i: usize| u64::from(columns[i]) < tensor.cols && (i == 0 || columns[i - 1] < columns[i]);
            ("ascending columns of the tensor", (0..columns.len()).position(|i| !holds(i)))
        }
        _ => return None,
    };
    position.map(|index| (expected, index))
}
