//! Rounded weights on disk between rounding and emission, so that no more than one is in memory.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use samp_abi::Layout;
use samp_kernels::encoded::Encoded;

use crate::{emit::EncodedWeights, lower::TensorSpec};

/// A folder with one file for each weight: its arrays one after another.
#[derive(Debug)]
pub(crate) struct RoundedStore {
    dir: PathBuf,
    /// BLAKE3 of each file, by the weight's name.
    hashes: BTreeMap<String, blake3::Hash>,
}

impl RoundedStore {
    /// An empty store in `dir`, which must exist.
    pub(crate) fn new(dir: &Path) -> RoundedStore {
        RoundedStore { dir: dir.into(), hashes: BTreeMap::new() }
    }

    /// Writes a row-major weight under its name.
    pub(crate) fn put(&mut self, name: &str, encoded: &Encoded) -> io::Result<()> {
        assert_eq!(encoded.layout, Layout::RowMajor, "weights are stored before packing");
        let (mut file, mut hasher) = (File::create(self.path(name))?, blake3::Hasher::new());
        for (_, bytes) in &encoded.parts {
            file.write_all(bytes)?;
            hasher.update_rayon(bytes);
        }
        self.hashes.insert(name.into(), hasher.finalize());
        Ok(())
    }

    /// Names all contents.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, hash) in &self.hashes {
            hasher.update(name.as_bytes()).update(&[0]).update(hash.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Removes every weight.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        for name in std::mem::take(&mut self.hashes).into_keys() {
            fs::remove_file(self.path(&name))?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.rounded"))
    }
}

impl EncodedWeights for RoundedStore {
    /// Refuses, as invalid data, bytes that are not those that were put.
    fn encoded(&self, spec: &TensorSpec) -> io::Result<Encoded> {
        let (rows, cols, kept) = (spec.rows as usize, spec.cols as usize, spec.kept_columns().len());
        let mut encoded = Encoded::zeroed(spec.format, Layout::RowMajor, rows, cols, kept);
        let (mut file, mut hasher) = (File::open(self.path(&spec.name))?, blake3::Hasher::new());
        for (_, bytes) in &mut encoded.parts {
            file.read_exact(bytes)?;
            hasher.update_rayon(bytes);
        }
        if self.hashes.get(&spec.name) != Some(&hasher.finalize()) {
            let message = format!("the rounded weight `{}` is not what was written", spec.name);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use samp_abi::Format;
    use samp_kernels::{format::encode, quantize::MatrixRef};

    use super::*;

    #[test]
    fn weights_come_back_and_damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = RoundedStore::new(dir.path());
        let values: Vec<f32> = (0..256).map(|i| i as f32 - 100.0).collect();
        let encoded = encode(Format::Nf4, 2, 128, &MatrixRef { cols: 128, values: &values }, &[]).unwrap();
        store.put("w", &encoded).unwrap();
        let spec = TensorSpec {
            name: "w".into(),
            sources: vec![],
            transforms: vec![],
            format: Format::Nf4,
            layout: Layout::Rows16,
            rows: 2,
            cols: 128,
        };
        let found = store.encoded(&spec).unwrap();
        assert!(found.parts.iter().zip(&encoded.parts).all(|(a, b)| a.0 == b.0 && *a.1 == *b.1));
        let path = dir.path().join("w.rounded");
        let mut bytes = fs::read(&path).unwrap();
        bytes[3] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(store.encoded(&spec).unwrap_err().kind(), io::ErrorKind::InvalidData);
        store.clear().unwrap();
        assert!(!path.exists());
    }
}
