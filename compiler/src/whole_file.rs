//! Single files that are written as a whole or not at all.

use std::{
    fs, io,
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// A file that takes its place once it is complete. Until then, and on any error, what was there stays.
#[derive(Debug)]
pub struct WholeFile {
    writer: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl WholeFile {
    /// Begins the file at `path`, under another name in the same folder, with the permissions of any new file.
    pub fn create(path: &Path) -> io::Result<WholeFile> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = tempfile::Builder::new()
            .prefix(".samp-")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        Ok(WholeFile { writer: BufWriter::new(beside), path: path.into() })
    }

    /// Puts the file in its place.
    pub fn commit(self) -> io::Result<()> {
        let file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|e| e.error)?;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Writes a file as a whole. What is no regular file, such as `/dev/stdout` or a pipe, is written to as it is.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return fs::write(path, bytes);
    }
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_old_one_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        write_whole(&path, b"old").unwrap();
        let mut begun = WholeFile::create(&path).unwrap();
        begun.write_all(b"half").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(begun);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(write_whole(&folder.path().join("no/page.html"), b"new").is_err());
        write_whole(Path::new("/dev/null"), b"x").unwrap();
    }
}
