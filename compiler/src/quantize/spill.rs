//! Weights that memory need not hold: written to files without a name, which end with their last mapping, and mapped.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use memmap2::Mmap;
use samp_abi::{Component, Format};
use samp_kernels::encoded::{Encoded, EncodedRef};

/// An f32 tensor in memory or on disk. A copy of one on disk takes nothing.
#[derive(Clone, Debug)]
pub enum SpilledTensor {
    /// In memory.
    Memory(Encoded),
    /// Its values are mapped; the tensor has none.
    Disk(Encoded, Arc<Mmap>),
}

/// Tensors below this many bytes stay in memory: a mapping takes whole pages.
const SMALL: usize = 1 << 16;

impl SpilledTensor {
    /// Writes the tensor's values to a file in `dir`, unless it is small.
    pub fn spill(mut tensor: Encoded, dir: &Path) -> io::Result<SpilledTensor> {
        assert_eq!(tensor.format, Format::F32, "baseline weights are f32");
        let values = std::mem::take(&mut tensor.parts);
        let [(Component::Values, bytes)] = &values[..] else { unreachable!("f32 has values alone") };
        if bytes.len() < SMALL {
            return Ok(SpilledTensor::Memory(Encoded { parts: values, ..tensor }));
        }
        let mut file = tempfile::tempfile_in(dir)?;
        file.write_all(bytes)?;
        // SAFETY: the file has no name and this is its only handle, so that nothing can change or cut it.
        let map = unsafe { Mmap::map(&file)? };
        Ok(SpilledTensor::Disk(tensor, Arc::new(map)))
    }

    /// The tensor.
    pub fn view(&self) -> EncodedRef<'_> {
        match self {
            SpilledTensor::Memory(tensor) => tensor.view(),
            SpilledTensor::Disk(tensor, map) => {
                let mut view = tensor.view();
                view.set(Component::Values, map);
                view
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use samp_kernels::{format::encode, quantize::MatrixRef};

    use super::*;

    #[test]
    fn a_tensor_on_disk_is_the_one_in_memory_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        for rows in [1, 1000] {
            let values: Vec<f32> = (0..64 * rows).map(|i| i as f32).collect();
            let tensor =
                encode(Format::F32, rows, 64, &MatrixRef { cols: 64, values: &values }, &[]).unwrap();
            let spilled = SpilledTensor::spill(tensor.clone(), dir.path()).unwrap();
            assert_eq!(matches!(spilled, SpilledTensor::Disk(..)), rows == 1000);
            let bytes = |view: EncodedRef<'_>| view.part(Component::Values).to_vec();
            assert_eq!(bytes(spilled.clone().view()), bytes(tensor.view()));
            assert_eq!(spilled.view().check(), Ok(()));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let tensor = Encoded::zeroed(Format::F32, samp_abi::Layout::RowMajor, 512, 64, 0);
        assert!(SpilledTensor::spill(tensor, &dir.path().join("none")).is_err());
    }
}
