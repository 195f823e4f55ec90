//! Places every part in the weights files, by the rule of `samp_abi::plan::weights_header`. Pure.

use samp_abi::plan::{
    Source, StoredComponent, Tensor, WeightsFile, align_part, weights_file_name, weights_header,
};

use super::hash::blake3_hex;
use crate::lower::TensorSpec;

/// Tensors with their final places but without hashes, and the files that hold them.
#[derive(Clone, Debug)]
pub(crate) struct WeightFiles {
    /// In the order of the specification; every `blake3` is still empty.
    pub tensors: Vec<Tensor>,
    /// The weights files in their order, with their sizes.
    pub files: Vec<WeightsFile>,
    /// The first bytes of each file: length prefix and header.
    pub headers: Vec<Vec<u8>>,
}

impl WeightFiles {
    /// Fills files in order of the tensors; a tensor whose parts would not fit within `max_file_bytes` of data begins
    /// the next file, so that a file holds whole tensors, and more than the limit only if it holds a single one.
    pub(crate) fn new(specs: &[TensorSpec], max_file_bytes: u64) -> WeightFiles {
        let mut tensors: Vec<Tensor> = specs.iter().map(without_place).collect();
        let (mut file, mut used) = (0, 0);
        for tensor in &mut tensors {
            let bytes: u64 = tensor.parts.iter().map(|p| aligned(p.bytes)).sum();
            if used > 0 && used + bytes > max_file_bytes {
                (file, used) = (file + 1, 0);
            }
            used += bytes;
            tensor.parts.iter_mut().for_each(|part| part.file = file);
        }
        let count = if tensors.is_empty() { 0 } else { file + 1 };
        let headers: Vec<Vec<u8>> =
            (0..count).map(|file| weights_header(&tensors, file).expect("sizes of a real model")).collect();
        let mut ends: Vec<u64> = headers.iter().map(|h| h.len() as u64).collect();
        for part in tensors.iter_mut().flat_map(|t| &mut t.parts) {
            let end = &mut ends[part.file as usize];
            part.offset = *end;
            *end = aligned(*end + part.bytes);
        }
        let file = |(index, header): (usize, &Vec<u8>)| WeightsFile {
            path: weights_file_name(index, headers.len()),
            bytes: ends[index],
            header_bytes: header.len() as u64,
            header_blake3: blake3_hex(header),
        };
        let files = headers.iter().enumerate().map(file).collect();
        WeightFiles { tensors, files, headers }
    }

    /// Bytes of all weights, padding and headers not counted.
    pub(crate) fn weights_bytes(&self) -> u64 {
        self.tensors.iter().flat_map(|t| &t.parts).map(|p| p.bytes).sum()
    }

    /// Bytes of all weights files on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }
}

/// The size of a part together with the zeros after it.
pub(super) fn aligned(bytes: u64) -> u64 {
    align_part(bytes).expect("sizes of a real model")
}

fn without_place(spec: &TensorSpec) -> Tensor {
    let components =
        spec.layout.components(spec.format, spec.rows, spec.cols, spec.kept_columns().len() as u64);
    let source = |s: &crate::lower::SourceSpec| Source {
        name: s.name.clone(),
        shape: s.shape.clone(),
        blake3: String::new(),
    };
    Tensor {
        name: spec.name.clone(),
        sources: spec.sources.iter().map(source).collect(),
        format: spec.format,
        layout: spec.layout,
        rows: spec.rows,
        cols: spec.cols,
        parts: components.into_iter().map(StoredComponent::unplaced).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samp_abi::{Format, Layout, plan::parts_of_file};

    fn spec(name: &str, rows: u64) -> TensorSpec {
        let (format, layout) = (Format::Nf4, Layout::Rows16);
        TensorSpec { name: name.into(), sources: vec![], transforms: vec![], format, layout, rows, cols: 128 }
    }

    fn names_in(files: &WeightFiles, file: u32) -> Vec<&str> {
        let mut names: Vec<&str> =
            parts_of_file(&files.tensors, file).map(|(tensor, _)| tensor.name.as_str()).collect();
        names.dedup();
        names
    }

    #[test]
    fn files_hold_whole_tensors_and_stay_under_the_limit() {
        let specs = [spec("a", 16), spec("b", 16), spec("c", 160), spec("d", 16), spec("e", 16)];
        let files = WeightFiles::new(&specs, 2 * (16 * 64 + 64 + 64 + 64));
        let names: Vec<_> = (0..3).map(|file| names_in(&files, file)).collect();
        assert_eq!(names, [vec!["a", "b"], vec!["c"], vec!["d", "e"]]);
        assert_eq!(files.files[1].path, "weights-00002-of-00003.safetensors");
        for (index, file) in files.files.iter().enumerate() {
            let parts: Vec<_> = parts_of_file(&files.tensors, index as u32).collect();
            assert_eq!(parts[0].1.offset, file.header_bytes);
            let last = parts.last().unwrap().1;
            assert_eq!(file.bytes, aligned(last.offset + last.bytes));
            assert!(parts.iter().all(|(_, p)| p.offset % 64 == 0));
        }
        assert!(WeightFiles::new(&[], 1).files.is_empty());
    }
}
