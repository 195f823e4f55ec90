//! Compiled code on disk, by the content it came from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use samp_kernels::cuda::Source;

use crate::{Arch, Cubin, Report, options::key, trust::is_trusted};

/// A folder of compiled kernels. Each entry is named by the hash of everything that decides its bytes, so none is ever
/// out of date; any may be deleted. Several processes may share it.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in a folder, which is made when something is first kept.
    pub fn at(folder: &Path) -> Cache {
        Cache { folder: folder.to_owned() }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was kept of a kernel; needs no compiler. Nothing if it was never compiled into this folder, is damaged, or may
    /// be another user's.
    pub fn find(&self, source: &Source, arch: Arch) -> Option<Cubin> {
        self.get(key(source, arch))
    }

    /// What was kept under a key; nothing if the entry is damaged, or where others can have put it there: it is code.
    pub(crate) fn get(&self, key: blake3::Hash) -> Option<Cubin> {
        let path = self.path(key);
        if !path.is_file() || !is_trusted(&path) {
            return None;
        }
        let entry = fs::read(path).ok()?;
        // An entry is the log's length, the log, the code, and a hash of all before it.
        let (body, hash) = entry.split_last_chunk::<{ blake3::OUT_LEN }>()?;
        if blake3::hash(body) != *hash {
            return None;
        }
        let (log_len, rest) = body.split_first_chunk()?;
        let (log, bytes) = rest.split_at_checked(u64::from_le_bytes(*log_len) as usize)?;
        let log = String::from_utf8(log.to_vec()).ok()?;
        Some(Cubin { bytes: bytes.to_vec(), report: Report::parse(&log), log })
    }

    /// Keeps a result. The entry appears whole or not at all.
    pub(crate) fn put(&self, key: blake3::Hash, cubin: &Cubin) -> io::Result<()> {
        let mut entry = (cubin.log.len() as u64).to_le_bytes().to_vec();
        entry.extend_from_slice(cubin.log.as_bytes());
        entry.extend_from_slice(&cubin.bytes);
        let hash = blake3::hash(&entry);
        entry.extend_from_slice(hash.as_bytes());
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        io::Write::write_all(&mut file, &entry)?;
        file.persist(self.path(key))?;
        Ok(())
    }

    fn path(&self, key: blake3::Hash) -> PathBuf {
        self.folder.join(format!("{}.cubin", key.to_hex()))
    }
}
