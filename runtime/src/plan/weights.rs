//! The bytes of the weights files: headers, hashes, padding and stored values, in one parallel pass.

use std::ops::Range;

use memmap2::{Mmap, UncheckedAdvice};
use samp_abi::{
    Component, Layout, TILE_ROWS,
    plan::{Plan, StoredComponent, Tensor, WeightsFile, align_part, header_of, parts_by_file},
};

use super::{
    blocks::{Searched, hash_and_search},
    fault::{Fault, Findings},
    tensors::part_name,
    values::{expected, first_bad_value},
};

const TILE: usize = TILE_ROWS as usize;

/// Checks every byte of the mapped files; `plan`'s tensors have been found to tile them. What is not to be kept is released as
/// soon as it is checked.
pub(super) fn check(plan: &Plan, files: &[Option<Mmap>], keep: bool, findings: &mut Findings) {
    let by_file = parts_by_file(&plan.tensors, plan.weights.len());
    for ((file, bytes), parts) in plan.weights.iter().zip(files).zip(by_file) {
        if let Some(bytes) = bytes {
            let expected = header_of(parts).unwrap_or_default();
            check_header(&expected, file, &bytes[..file.header_bytes as usize], findings);
        }
    }
    let all = plan.tensors.iter().flat_map(|tensor| tensor.parts.iter().map(move |part| (tensor, part)));
    let parts: Vec<StoredPart<'_>> =
        all.filter_map(|(tensor, part)| StoredPart::of(tensor, part, files)).collect();
    let arrays: Vec<&[u8]> = parts.iter().map(StoredPart::bytes).collect();
    let search = |index: usize, range: Range<usize>| {
        let StoredPart { tensor, part, file } = parts[index];
        let found = first_bad_value(tensor, part, arrays[index], range.clone());
        if !keep {
            let start = part.offset as usize;
            release(file, start + range.start..start + range.end);
        }
        found
    };
    let searched = hash_and_search(&arrays, search);
    parts.iter().zip(searched).for_each(|(part, searched)| part.report(plan, &searched, findings));
    plan.tensors.iter().for_each(|tensor| check_outliers(plan, tensor, files, findings));
}

/// Lets the system take back the memory behind some bytes of a file.
pub(super) fn release(file: &Mmap, bytes: Range<usize>) {
    // SAFETY: dropping clean pages of a read-only file map changes no byte that anyone can see: the next read faults
    // them in from the same file.
    let advised = unsafe { file.unchecked_advise_range(UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
    // Advice: where the system refuses it, only resident memory is larger.
    drop(advised);
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

/// A part whose file is mapped.
struct StoredPart<'a> {
    tensor: &'a Tensor,
    part: &'a StoredComponent,
    file: &'a Mmap,
}

impl<'a> StoredPart<'a> {
    fn of(
        tensor: &'a Tensor,
        part: &'a StoredComponent,
        files: &'a [Option<Mmap>],
    ) -> Option<StoredPart<'a>> {
        files[part.file as usize].as_ref().map(|file| StoredPart { tensor, part, file })
    }

    fn bytes(&self) -> &'a [u8] {
        &self.file[self.part.offset as usize..][..self.part.bytes as usize]
    }

    /// The zeros up to the next part.
    fn padding(&self) -> &'a [u8] {
        let end = self.part.offset + self.part.bytes;
        let next = align_part(end).map_or(self.file.len(), |next| (next as usize).min(self.file.len()));
        &self.file[end as usize..next]
    }

    fn report(&self, plan: &Plan, searched: &Searched, findings: &mut Findings) {
        let (tensor, part) = (self.tensor, self.part);
        let mut place = findings.at(&plan.weights[part.file as usize].path, part_name(tensor, part));
        let hash = searched.hash.to_hex();
        place.check(*hash == *part.blake3, Fault::PartHash, &part.blake3, hash);
        let zeros = self.padding().iter().all(|&byte| byte == 0);
        place.check(zeros, Fault::Padding, "zeros after it", "something else");
        if let (Some(expected), Some(index)) = (expected(tensor, part), searched.found) {
            place.wrong(Fault::PartValues, expected, format_args!("another value at element {index}"));
        }
    }
}
