//! How parts lie in the weights files. The rule is strict, so that every byte of a file follows from the manifest:
//!
//! - A file is a safetensors file: an 8-byte little-endian length, a JSON header padded with spaces so that the
//!   data after it starts at a multiple of 64, and the data.
//! - Its parts lie in manifest order: the tensors in order of [`super::Plan::tensors`], the parts of one in order of
//!   [`super::Tensor::parts`]. The first starts where the data does; each other starts at the first multiple of
//!   64 that is not before the end of the part ahead of it; the file ends at the first multiple of 64 not before
//!   the end of the last. Between them lie zeros.
//! - Safetensors demands that entries cover the data without holes, so each run of zeros has an entry of its own,
//!   `__pad.N`, numbered from 0 within the file.

use std::fmt::Write;

use super::{StoredComponent, Tensor};

/// Parts start at multiples of this many bytes.
pub const PART_ALIGNMENT: u64 = 64;

/// The first multiple of [`PART_ALIGNMENT`] that is not before `offset`; `None` if it overflows.
pub fn align_part(offset: u64) -> Option<u64> {
    offset.checked_next_multiple_of(PART_ALIGNMENT)
}

/// The length prefix and header of weights file `file`, from the parts that `tensors` place in it. Only sizes,
/// types, shapes and the order of the parts count, not their offsets, which follow: the data starts at the
/// header's own length. `None` if the sizes overflow.
pub fn weights_header(tensors: &[Tensor], file: u32) -> Option<Vec<u8>> {
    header_of(parts_of_file(tensors, file))
}

/// [`weights_header`] of the parts of one file, in their order.
pub fn header_of<'t>(parts: impl IntoIterator<Item = (&'t Tensor, &'t StoredComponent)>) -> Option<Vec<u8>> {
    let mut entries = Entries::default();
    for (tensor, part) in parts {
        entries.add(&format!("{}.{}", tensor.name, part.component.name()), part)?;
    }
    Some(entries.finish())
}

/// [`parts_of_file`] for each of the first `files` files, in one pass.
pub fn parts_by_file(tensors: &[Tensor], files: usize) -> Vec<Vec<(&Tensor, &StoredComponent)>> {
    let mut by_file = vec![vec![]; files];
    for (tensor, part) in tensors.iter().flat_map(|tensor| tensor.parts.iter().map(move |p| (tensor, p))) {
        if let Some(parts) = by_file.get_mut(part.file as usize) {
            parts.push((tensor, part));
        }
    }
    by_file
}

/// The parts that lie in weights file `file`, in their order there, each with its tensor.
pub fn parts_of_file(tensors: &[Tensor], file: u32) -> impl Iterator<Item = (&Tensor, &StoredComponent)> {
    tensors
        .iter()
        .flat_map(|tensor| tensor.parts.iter().map(move |part| (tensor, part)))
        .filter(move |(_, part)| part.file == file)
}

/// The text of a header as it grows.
#[derive(Default)]
struct Entries {
    json: String,
    end: u64,
    pads: usize,
}

impl Entries {
    fn add(&mut self, name: &str, part: &StoredComponent) -> Option<()> {
        let end = self.end.checked_add(part.bytes)?;
        self.entry(name, part.dtype.safetensors_name(), &part.shape, end);
        let aligned = align_part(end)?;
        if aligned > end {
            let name = format!("__pad.{}", self.pads);
            self.entry(&name, "U8", &[aligned - end], aligned);
            self.pads += 1;
        }
        Some(())
    }

    /// Appends one entry that covers the data from the last one's end to `end`.
    fn entry(&mut self, name: &str, dtype: &str, shape: &[u64], end: u64) {
        let separator = if self.json.is_empty() { '{' } else { ',' };
        let name = serde_json::Value::from(name);
        let shape = serde_json::Value::from(shape.to_vec());
        let start = self.end;
        write!(
            self.json,
            r#"{separator}{name}:{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#
        )
        .expect("writing to a string does not fail");
        self.end = end;
    }

    fn finish(mut self) -> Vec<u8> {
        self.json.push_str(if self.json.is_empty() { "{}" } else { "}" });
        let total = (8 + self.json.len()).next_multiple_of(PART_ALIGNMENT as usize);
        let length = total - 8;
        let mut header = (length as u64).to_le_bytes().to_vec();
        header.extend_from_slice(self.json.as_bytes());
        header.resize(total, b' ');
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Component, Format, Layout};

    fn tensor(name: &str, format: Format, rows: u64, cols: u64, file: u32) -> Tensor {
        let part = |spec: crate::ComponentSpec| StoredComponent {
            component: spec.component,
            dtype: spec.dtype,
            bytes: spec.bytes(),
            shape: spec.shape,
            file,
            offset: 0,
            blake3: String::new(),
        };
        let parts = Layout::RowMajor.components(format, rows, cols, 0).into_iter().map(part).collect();
        Tensor { name: name.into(), sources: vec![], format, layout: Layout::RowMajor, rows, cols, parts }
    }

    #[test]
    fn entries_cover_the_data_without_holes() {
        let tensors = [
            tensor("layers.0.a \"quoted\"", Format::Nf4, 3, 64, 0),
            tensor("elsewhere", Format::F32, 1, 7, 1),
            tensor("norm", Format::F32, 1, 16, 0),
        ];
        let header = weights_header(&tensors, 0).unwrap();
        assert_eq!(header.len() % 64, 0);
        assert_eq!(u64::from_le_bytes(header[..8].try_into().unwrap()) as usize, header.len() - 8);
        let json: serde_json::Value = serde_json::from_slice(&header[8..]).unwrap();
        let mut ranges: Vec<(u64, u64)> = (json.as_object().unwrap().values())
            .map(|e| serde_json::from_value(e["data_offsets"].clone()).unwrap())
            .collect();
        ranges.sort_unstable();
        let mut end = 0;
        for (start, next) in ranges {
            assert_eq!(start, end);
            end = next;
        }
        assert_eq!(end % 64, 0);
        assert_eq!(json["norm.values"]["data_offsets"], serde_json::json!([320, 384]));
        assert_eq!(json["layers.0.a \"quoted\".absmax_offset"]["shape"], serde_json::json!([1]));
        assert_eq!(parts_of_file(&tensors, 1).next().unwrap().1.component, Component::Values);
        for (file, parts) in parts_by_file(&tensors, 3).into_iter().enumerate() {
            assert_eq!(parts, parts_of_file(&tensors, file as u32).collect::<Vec<_>>());
        }
        assert_eq!(parts_by_file(&tensors, 1).len(), 1);
    }

    #[test]
    fn sizes_that_overflow_give_no_header() {
        let mut huge = tensor("huge", Format::F32, 1, 1, 0);
        huge.parts[0].bytes = u64::MAX;
        assert_eq!(weights_header(&[huge.clone(), huge], 0), None);
    }
}
