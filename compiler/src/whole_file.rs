//! Single files that are written as a whole or not at all.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// A file that takes its place once it is complete. Until then, and on any error, what was there stays. What is no regular
/// file, such as `/dev/stdout` or a pipe, is written to as it is.
#[derive(Debug)]
pub struct WholeFile(Writer);

#[derive(Debug)]
enum Writer {
    Beside(BufWriter<NamedTempFile>, PathBuf),
    InPlace(BufWriter<File>),
}

impl WholeFile {
    /// Begins the file at `path`, under another name in the same folder, with the permissions of any new file. Links are
    /// followed, and a file that may not be written to is not replaced.
    pub fn create(path: &Path) -> io::Result<WholeFile> {
        let path = match fs::metadata(path) {
            Ok(there) if there.is_file() => {
                File::options().write(true).open(path)?;
                fs::canonicalize(path)?
            }
            Ok(there) if !there.is_dir() => {
                let device = File::options().write(true).open(path)?;
                return Ok(WholeFile(Writer::InPlace(BufWriter::new(device))));
            }
            _ => path.into(),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = tempfile::Builder::new()
            .prefix(".samp-")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        Ok(WholeFile(Writer::Beside(BufWriter::new(beside), path)))
    }

    /// Puts the file in its place.
    pub fn commit(self) -> io::Result<()> {
        match self.0 {
            Writer::InPlace(mut writer) => writer.flush(),
            Writer::Beside(writer, path) => {
                let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.as_file().sync_all()?;
                file.persist(path).map_err(|e| e.error)?;
                Ok(())
            }
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Writer::Beside(writer, _) => writer.write(bytes),
            Writer::InPlace(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Writer::Beside(writer, _) => writer.flush(),
            Writer::InPlace(writer) => writer.flush(),
        }
    }
}

/// Writes a file as a whole.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
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

    #[test]
    fn devices_pipes_and_links_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || fs::read(fifo).unwrap()
        });
        write_whole(&fifo, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(!fs::metadata(&fifo).unwrap().is_file());
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
