//! Data files: UTF-8 text with a JSON record on each line. What is another kind of file is refused by its first bytes.

use std::{
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use samp_ir::Diagnostic;
use samp_runtime::{
    outside_file::{read_at_most, read_regular_or_pipe},
    path_kind::{FileKind, PathKind, Wanted, quoted},
};

use crate::{error_code, wrong_path::expect_path};

/// What a path to data is to lead to.
const DATA: Wanted = Wanted::File("a file of records", &[".jsonl", ".json", ".txt", ".parquet"]);

/// The path that stands for stdin.
const STDIN: &str = "-";

/// Files of data are held in memory whole; larger ones are refused.
pub const MAX_DATA_BYTES: u64 = 1 << 30;

/// What is wrong with a line or a row that is no record.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotARecord(pub String);

impl NotARecord {
    /// The text is not the JSON that a record is.
    pub fn malformed(error: &serde_json::Error) -> NotARecord {
        NotARecord(format!("not a record: {error}"))
    }
}

/// The stratum of a record that names none.
pub const NO_STRATUM: &str = "all";

/// Refuses a path that leads to no file of data, or to one of another kind than `accepted` and plain text. Where it leads to
/// a pipe, nothing is said of what comes out.
pub fn expect_data(path: &Path, accepted: &[FileKind]) -> Result<(), Diagnostic> {
    let PathKind::File(kind) = expect_path(path, DATA, error_code::UNREADABLE_DATA)? else { return Ok(()) };
    let is_text = matches!(kind, FileKind::Json | FileKind::Empty | FileKind::Other | FileKind::Toml);
    if is_text || accepted.contains(&kind) {
        return Ok(());
    }
    let message = format!("expected a file of records, found {}", kind.noun());
    Err(Diagnostic::bad_input(error_code::NOT_RECORDS, message)
        .in_file(path.display().to_string())
        .hint(records_of(path, kind)))
}

/// What makes records of another kind of file.
fn records_of(path: &Path, kind: FileKind) -> String {
    let (file, out) = (quoted(path), quoted(&path.with_extension("records.jsonl")));
    let pandas = |reader: &str| {
        format!(
            "write its rows as JSON lines, with a column `text`: python -c 'import sys, pandas; \
             pandas.{reader}(sys.argv[1]).to_json(sys.argv[2], orient=\"records\", lines=True)' {file} {out}"
        )
    };
    match kind {
        FileKind::Gzip => format!("unpack it first: gunzip -k {file}"),
        FileKind::Compressed | FileKind::Archive => "unpack it first".into(),
        FileKind::Csv => pandas("read_csv"),
        FileKind::Parquet => pandas("read_parquet"),
        FileKind::JsonArray => format!("write each element on a line of its own: jq -c '.[]' {file} > {out}"),
        FileKind::LfsPointer => "run git lfs pull in its folder".into(),
        FileKind::Profile => "a profile goes to samp compile --profile".into(),
        _ => "give JSON lines, each with `text` or `messages`".into(),
    }
}

/// Reads a whole file of UTF-8 text, or stdin for `-`, without its byte order mark if it has one. Files of other kinds are refused, unless
/// `accepted`.
pub fn read_text(path: &Path, accepted: &[FileKind]) -> Result<String, Diagnostic> {
    let from_stdin = path == Path::new(STDIN);
    if !from_stdin {
        expect_data(path, accepted)?;
    }
    let file = path.display().to_string();
    let bytes = if from_stdin { stdin() } else { read_regular_or_pipe(path, MAX_DATA_BYTES) };
    let bytes = bytes.map_err(|e| {
        Diagnostic::of_io(error_code::UNREADABLE_DATA, format!("the data file cannot be read: {e}"), &e)
            .in_file(&file)
    })?;
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let offset = e.utf8_error().valid_up_to();
        let message = format!("expected UTF-8, found an invalid byte at offset {offset}");
        Diagnostic::bad_input(error_code::NOT_UTF8, message).in_file(&file).hint("convert the file to UTF-8")
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// All that comes through stdin. It comes once, and is the same for everyone who asks, as a file's text would be.
fn stdin() -> io::Result<Vec<u8>> {
    static READ: Mutex<Option<Vec<u8>>> = Mutex::new(None);
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = &*read {
        return Ok(bytes.clone());
    }
    Ok(read.insert(read_at_most(io::stdin().lock(), MAX_DATA_BYTES)?).clone())
}

/// Makes a record of each line. Empty lines are passed over; everything else must be a record. `parse` is given the number
/// of the line, from 1, and says what is wrong with it; `hint` says what a record is.
pub fn parse_lines<T>(
    file: &str,
    text: &str,
    hint: &str,
    parse: impl Fn(usize, &str) -> Result<T, NotARecord>,
) -> Result<Vec<T>, Diagnostic> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let records: Vec<T> = lines
        .map(|(line, number)| parse(number, line).map_err(|fault| not_a_record(file, number, fault, hint)))
        .collect::<Result<_, _>>()?;
    if records.is_empty() { Err(no_record(file)) } else { Ok(records) }
}

/// The error for a line or row that is no record.
pub fn not_a_record(file: &str, number: usize, fault: NotARecord, hint: &str) -> Diagnostic {
    Diagnostic::bad_input(error_code::NOT_A_RECORD, fault.0).in_file(format!("{file}:{number}")).hint(hint)
}

/// The error for a file without records.
pub fn no_record(file: &str) -> Diagnostic {
    Diagnostic::bad_input(error_code::NO_RECORDS, "expected at least one record, found none").in_file(file)
}
