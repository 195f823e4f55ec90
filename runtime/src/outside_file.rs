//! Small files that others made: read whole, up to a stated size, and never from what has no end.
//!
//! A regular file alone is read; a pipe only where someone may well give one, as a shell's `<(…)` does. What else lies at
//! the path is said in the error: a device gives bytes for ever, and a pipe that nobody writes to gives none.

use std::{
    fs::{self, File, FileType, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Whether anything lies at a path, be it a link that leads nowhere: absent is only what nobody put there.
pub fn lies_at(path: &Path) -> bool {
    !fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// What lies at a path that is no regular file, such as `a pipe`.
pub(crate) fn noun(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_file() => "a file",
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Opens a regular file, through links.
///
/// # Errors
/// Something else is there, or nothing; the text names it. It may not be read.
pub fn open_regular(path: &Path) -> io::Result<File> {
    expect_regular(fs::metadata(path).map_err(|error| unreached(path, error))?.file_type())?;
    // Should a pipe have taken its place since, opening it must not wait for a writer.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    expect_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a whole regular file of at most `most` bytes.
///
/// # Errors
/// As of [`open_regular`], and where there are more bytes.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_at_most(open_at_most(path, most)?, most)
}

/// Opens a regular file of at most `most` bytes, for a reader of its own.
///
/// # Errors
/// As of [`open_regular`], and where there are more bytes.
pub fn open_at_most(path: &Path, most: u64) -> io::Result<File> {
    let file = open_regular(path)?;
    match file.metadata()?.len() {
        length if length > most => {
            Err(invalid(format!("{length} bytes, more than the {most} that are read")))
        }
        _ => Ok(file),
    }
}

/// The same, of UTF-8 text; any other is [`ErrorKind::InvalidData`].
///
/// # Errors
/// As of [`read_regular`], and where it is no text.
pub fn read_regular_text(path: &Path, most: u64) -> io::Result<String> {
    let text = String::from_utf8(read_regular(path, most)?);
    text.map_err(|_| io::Error::new(ErrorKind::InvalidData, "text that is not UTF-8"))
}

/// Reads a whole regular file, or all that comes through a pipe, of at most `most` bytes.
///
/// # Errors
/// As of [`read_regular`], where there is no pipe either.
pub fn read_regular_or_pipe(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_fifo() => read_at_most(File::open(path)?, most),
        _ => read_regular(path, most),
    }
}

/// Reads to the end, unless there are more than `most` bytes.
///
/// # Errors
/// There are more, or the system refuses to read.
pub fn read_at_most(source: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    source.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(invalid(format!("more than the {most} bytes that are read")));
    }
    Ok(bytes)
}

fn expect_regular(kind: FileType) -> io::Result<()> {
    let found = || invalid(format!("{} in place of a regular file", noun(kind)));
    if kind.is_file() { Ok(()) } else { Err(found()) }
}

/// Why nothing is reached: of links, where they lead.
fn unreached(path: &Path, error: io::Error) -> io::Error {
    match dangling(path) {
        _ if is_link_loop(&error) => invalid("links that lead in a circle".into()),
        Some(target) if error.kind() == ErrorKind::NotFound => {
            io::Error::new(ErrorKind::NotFound, format!("a link to {}, which is not there", target.display()))
        }
        _ => error,
    }
}

/// Where the link leads that keeps a path from being found: the path itself, or a folder above it.
pub(crate) fn dangling(path: &Path) -> Option<PathBuf> {
    let link = path.ancestors().find(|above| above.symlink_metadata().is_ok())?;
    if link.exists() { None } else { fs::read_link(link).ok() }
}

/// Whether an error says that links lead in a circle.
pub(crate) fn is_link_loop(error: &io::Error) -> bool {
    const TOO_MANY_LINKS: [i32; 2] = [40, 62]; // ELOOP, of Linux and of macOS
    error.raw_os_error().is_some_and(|code| TOO_MANY_LINKS.contains(&code))
}

fn invalid(found: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn pipe(path: &Path) {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }

    #[test]
    fn what_is_no_regular_file_is_named_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        pipe(&at("pipe"));
        fs::create_dir(at("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink("gone", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for (name, found) in [
            ("pipe", "a pipe in place of a regular file"),
            ("folder", "a folder in place of a regular file"),
            ("socket", "a socket in place of a regular file"),
            ("zero", "a device in place of a regular file"),
            ("dangling", "a link to gone, which is not there"),
            ("loop", "links that lead in a circle"),
        ] {
            let refused = read_regular(&at(name), 100).unwrap_err();
            assert_eq!(refused.to_string(), found);
            assert!(lies_at(&at(name)), "{name}");
            if name != "pipe" {
                assert_eq!(read_regular_or_pipe(&at(name), 100).unwrap_err().to_string(), found);
            }
        }
        assert!(!lies_at(&at("nothing")));
        assert_eq!(read_regular(&at("nothing"), 1).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn no_more_is_read_than_was_said() {
        let dir = tempfile::tempdir().unwrap();
        let (file, fifo) = (dir.path().join("file"), dir.path().join("fifo"));
        fs::write(&file, b"abc\xff").unwrap();
        assert_eq!(read_regular(&file, 4).unwrap(), b"abc\xff");
        assert_eq!(read_regular_text(&file, 4).unwrap_err().kind(), ErrorKind::InvalidData);
        for refused in [read_regular(&file, 3), read_regular_or_pipe(&file, 3)] {
            assert_eq!(refused.unwrap_err().to_string(), "4 bytes, more than the 3 that are read");
        }
        pipe(&fifo);
        for (most, read) in [(7, true), (6, false)] {
            let writer = std::thread::spawn({
                let fifo = fifo.clone();
                move || fs::write(fifo, b"through")
            });
            let found = read_regular_or_pipe(&fifo, most);
            writer.join().unwrap().unwrap();
            assert_eq!(found.is_ok(), read, "{found:?}");
        }
        assert!(
            read_at_most(io::repeat(0), 1000).unwrap_err().to_string().contains("more than the 1000 bytes")
        );
    }
}
