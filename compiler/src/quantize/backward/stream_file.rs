//! The residual stream at every cut, kept on disk: it grows with the layers and the tokens.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crate::quantize::error::QuantizeError;

/// A file without a name, which ends with this value.
pub(super) struct StreamFile {
    file: File,
    /// Of each batch, where each of its streams begins, in elements.
    starts: Vec<Vec<u64>>,
    current: Vec<u64>,
    end: u64,
}

impl StreamFile {
    pub(super) fn create(dir: &Path) -> Result<StreamFile, QuantizeError> {
        let file = tempfile::tempfile_in(dir).map_err(QuantizeError::Activations)?;
        Ok(StreamFile { file, starts: vec![], current: vec![], end: 0 })
    }

    /// Keeps the next stream of the batch that is being written.
    pub(super) fn append(&mut self, stream: &[f32]) -> Result<(), QuantizeError> {
        self.file
            .write_all_at(bytemuck::cast_slice(stream), 4 * self.end)
            .map_err(QuantizeError::Activations)?;
        self.current.push(self.end);
        self.end += stream.len() as u64;
        Ok(())
    }

    /// The streams that follow are of the next batch.
    pub(super) fn end_batch(&mut self) {
        self.current.push(self.end);
        self.starts.push(std::mem::take(&mut self.current));
    }

    /// The `index`-th stream of a batch.
    pub(super) fn read(&mut self, index: usize, batch: usize) -> Result<Vec<f32>, QuantizeError> {
        let starts = &self.starts[batch];
        let mut stream = vec![0.0f32; (starts[index + 1] - starts[index]) as usize];
        let read: io::Result<()> =
            self.file.read_exact_at(bytemuck::cast_slice_mut(&mut stream), 4 * starts[index]);
        read.map_err(QuantizeError::Activations)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_back_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut streams = StreamFile::create(dir.path()).unwrap();
        for batch in 0..3u8 {
            for index in 0..4u8 {
                streams.append(&vec![f32::from(10 * batch + index); usize::from(index + batch)]).unwrap();
            }
            streams.end_batch();
        }
        for (batch, index) in [(2, 3), (0, 0), (1, 2), (0, 3)] {
            let found = streams.read(index, batch).unwrap();
            assert_eq!(found, vec![(10 * batch + index) as f32; index + batch]);
        }
        assert!(matches!(StreamFile::create(&dir.path().join("none")), Err(QuantizeError::Activations(_))));
    }
}
