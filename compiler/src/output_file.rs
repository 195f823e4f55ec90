//! Where a command may write one file: before the work, not after it.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use samp_ir::Diagnostic;
use samp_runtime::path_kind::{FileKind, PathKind, is_too_long, quoted, what_is_there};
use serde_json::{Map, Value};

use crate::error_code;

/// Bytes of a file that say what it is.
const HEAD: u64 = 4096;

/// What a command writes into one file. A file that is there is replaced by its like alone, so that a slip of the hand
/// costs no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFile {
    /// A page of `samp report`.
    Page,
    /// A profile of `samp measure`.
    Profile,
    /// Logits of `samp eval`, behind their tokens.
    Logits,
}

impl OutputFile {
    /// The name of the page's maker, as its head says it.
    pub const GENERATOR: &str = "samp report";

    /// Refuses a path that is a folder's, whose folder is not there, or which leads to something else.
    pub fn check(self, path: &Path) -> Result<(), Diagnostic> {
        check_place(path)?;
        let is_like = match what_is_there(path) {
            PathKind::File(FileKind::Empty) => true,
            PathKind::File(kind) => self.is_like(kind, path),
            _ => return Ok(()),
        };
        if is_like { Ok(()) } else { Err(self.refusal(path)) }
    }

    fn is_like(self, kind: FileKind, path: &Path) -> bool {
        match self {
            OutputFile::Profile => kind == FileKind::Profile,
            OutputFile::Page => head(path).is_ok_and(|head| is_page(&head)),
            OutputFile::Logits => head(path).is_ok_and(|head| is_logits(&head)),
        }
    }

    fn refusal(self, path: &Path) -> Diagnostic {
        let message = format!("expected {} or no file to write to, found another file", self.noun());
        Diagnostic::bad_input(error_code::NOT_REPLACEABLE, message)
            .in_file(path.display().to_string())
            .hint("choose another output, or remove the file yourself")
    }

    fn noun(self) -> &'static str {
        match self {
            OutputFile::Page => "a page of samp report",
            OutputFile::Profile => "a profile",
            OutputFile::Logits => "a file of logits",
        }
    }
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = vec![];
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

fn is_page(head: &[u8]) -> bool {
    let made = format!("content=\"{}\"", OutputFile::GENERATOR);
    head.starts_with(b"<!doctype html>") && head.windows(made.len()).any(|bytes| bytes == made.as_bytes())
}

/// Whether a safetensors header names the tokens and their logits, and nothing else.
fn is_logits(head: &[u8]) -> bool {
    let Some((length, rest)) = head.split_first_chunk() else { return false };
    let header = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| rest.get(..length));
    let header = header.and_then(|json| serde_json::from_slice::<Map<String, Value>>(json).ok());
    header.is_some_and(|tensors| tensors.keys().eq(["input_ids", "logits"]))
}

fn check_place(path: &Path) -> Result<(), Diagnostic> {
    if path.is_dir() {
        return Err(bad_place(
            path,
            "a folder",
            format!("name a file in it: {}", quoted(&path.join("NAME"))),
        ));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if is_too_long(path) {
        return Err(bad_place(
            path,
            "one that is too long for the file system",
            "give a shorter name".into(),
        ));
    }
    if !folder.is_dir() {
        let found = format!("that the folder {} is not there", folder.display());
        return Err(bad_place(path, &found, format!("make it first: mkdir -p {}", quoted(folder))));
    }
    Ok(())
}

fn bad_place(path: &Path, found: &str, hint: String) -> Diagnostic {
    let message = format!("expected the path of a file to write, found {found}");
    Diagnostic::bad_input(error_code::BAD_OUTPUT, message).in_file(path.display().to_string()).hint(hint)
}

/// Refuses to write into the folder of a plan or of a checkpoint that is read: what is made of it is no part of it.
///
/// # Errors
/// The output lies inside, through whatever links.
pub fn refuse_inside(output: &Path, read: &Path) -> Result<(), Diagnostic> {
    let parent = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let resolved =
        fs::canonicalize(output).or_else(|_| fs::canonicalize(parent).map(|there| there.join("new")));
    // What leads nowhere is refused for that, by whoever reads it or writes there.
    let (Ok(resolved), Ok(read)) = (resolved, fs::canonicalize(read)) else { return Ok(()) };
    if !read.is_dir() || resolved == read || !resolved.starts_with(&read) {
        return Ok(());
    }
    let found = format!("one inside of {}, which is read", read.display());
    let message = format!("expected an output outside of what it is made of, found {found}");
    let hint = match output.file_name().zip(read.parent()) {
        Some((name, above)) => {
            format!("choose a place beside that folder, such as {}", quoted(&above.join(name)))
        }
        None => "choose a place outside of that folder".into(),
    };
    Err(Diagnostic::bad_input(error_code::BAD_OUTPUT, message)
        .in_file(output.display().to_string())
        .hint(hint))
}

/// Whether two paths lead to one file.
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [OutputFile; 3] = [OutputFile::Page, OutputFile::Profile, OutputFile::Logits];

    fn refused(path: &Path) -> String {
        let refused: Vec<String> =
            ALL.map(|output| output.check(path).unwrap_err().code.to_owned()).into_iter().collect();
        assert!(refused.iter().all(|code| *code == refused[0]), "{refused:?}");
        OutputFile::Page.check(path).unwrap_err().to_string()
    }

    #[test]
    fn outputs_without_a_folder_are_refused_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        let shown = refused(&dir.path().join("none/report.html"));
        let folder = dir.path().join("none");
        assert!(
            shown.contains("E0712") && shown.contains(&format!("mkdir -p {}", folder.display())),
            "{shown}"
        );
        let shown = refused(dir.path());
        assert!(shown.contains("found a folder") && shown.contains("NAME"), "{shown}");
        for output in ALL {
            output.check(&dir.path().join("report.html")).unwrap();
            output.check(Path::new("report.html")).unwrap();
            output.check(Path::new("/dev/null")).unwrap();
        }
    }

    #[test]
    fn a_file_is_replaced_by_its_like_alone() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let header = r#"{"input_ids":{},"logits":{}}"#;
        let logits = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let likes = [
            write("page", b"<!doctype html>\n<meta name=\"generator\" content=\"samp report\">"),
            write("profile.json", b"{\"schema\": \"1.2.0\", \"moment_tokens\": 7}"),
            write("logits.safetensors", &logits),
        ];
        for (at, output) in ALL.into_iter().enumerate() {
            for (of, like) in likes.iter().enumerate() {
                assert_eq!(output.check(like).is_ok(), at == of, "{output:?} over {}", like.display());
            }
            output.check(&write("empty", b"")).unwrap();
        }
        for (name, bytes) in [
            ("data.jsonl", &b"{\"text\": \"x\"}"[..]),
            ("config.json", b"{}"),
            ("plan.json", b"{}"),
            ("other.html", b"<!doctype html><p>mine"),
            ("weights.safetensors", b"\x08\0\0\0\0\0\0\0{}      "),
        ] {
            let shown = refused(&write(name, bytes));
            assert!(shown.contains("E0711") && shown.contains("remove the file yourself"), "{name}: {shown}");
        }
    }
}
