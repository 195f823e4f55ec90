//! Reading records: JSON lines, plain text, or parquet, told apart by the file's extension.

use std::path::Path;

use samp_ir::Diagnostic;
use samp_runtime::path_kind::FileKind;

#[cfg(feature = "parquet")]
use super::parquet::read_parquet;
use super::source_record::{Content, HINT, Line, SourceRecord};
use crate::jsonl::{NO_STRATUM, NotARecord, expect_data, no_record, parse_lines, read_text};

/// Reads the records of a file: `.txt` is plain text, whose documents end at blank lines; `.parquet` has columns named
/// as the keys of a line; everything else is JSON lines.
pub(super) fn read(path: &Path) -> Result<Vec<SourceRecord>, Diagnostic> {
    read_with(path, HINT, parse_line, |record| record)
}

/// The same for records that may be more than texts and conversations: `line` makes one of a line of JSON, which `hint`
/// describes, and `of` one of a text or a conversation.
pub(crate) fn read_with<T>(
    path: &Path,
    hint: &str,
    line: impl Fn(usize, &str) -> Result<T, NotARecord>,
    of: impl Fn(SourceRecord) -> T,
) -> Result<Vec<T>, Diagnostic> {
    let file = path.display().to_string();
    let records = match path.extension().and_then(|e| e.to_str()) {
        Some("txt") => documents(&file, &read_text(path, &[FileKind::JsonArray])?)?,
        Some("parquet") => {
            expect_data(path, &[FileKind::Parquet])?;
            read_parquet(path)?
        }
        _ => return parse_lines(&file, &read_text(path, &[])?, hint, line),
    };
    Ok(records.into_iter().map(of).collect())
}

/// The text or the conversation on a line of JSON.
pub(crate) fn parse_line(number: usize, line: &str) -> Result<SourceRecord, NotARecord> {
    let line: Line = serde_json::from_str(line).map_err(|e| NotARecord::malformed(&e))?;
    line.record(number)
}

#[cfg(not(feature = "parquet"))]
fn read_parquet(path: &Path) -> Result<Vec<SourceRecord>, Diagnostic> {
    Err(built_without_parquet(path))
}

#[cfg(any(test, not(feature = "parquet")))]
fn built_without_parquet(path: &Path) -> Diagnostic {
    Diagnostic::unsupported(crate::error_code::PARQUET, "this samp was built without parquet")
        .in_file(path.display().to_string())
        .hint("build it with --features parquet, or write the records as JSON lines")
}

fn documents(file: &str, text: &str) -> Result<Vec<SourceRecord>, Diagnostic> {
    let mut documents: Vec<String> = vec![String::new()];
    for line in text.lines() {
        let last = documents.last_mut().expect("never empty");
        match (line.trim().is_empty(), last.is_empty()) {
            (true, false) => documents.push(String::new()),
            (true, true) => {}
            (false, _) => last.extend([line, "\n"]),
        }
    }
    let documents = documents.into_iter().filter(|text| !text.is_empty());
    let record = |(text, number): (String, usize)| SourceRecord {
        content: Content::Text(text),
        stratum: NO_STRATUM.into(),
        weight: 1.0,
        number,
        unknown: vec![],
    };
    let records: Vec<SourceRecord> = documents.zip(1..).map(record).collect();
    if records.is_empty() { Err(no_record(file)) } else { Ok(records) }
}

#[cfg(test)]
mod tests {
    use samp_runtime::Message;

    use super::*;

    fn parse(name: &str, bytes: &[u8]) -> Result<Vec<SourceRecord>, Diagnostic> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    #[test]
    fn lines_are_texts_or_conversations() {
        let lines = br#"{"text": "a", "stratum": "code", "weight": 2, "source": "x"}

{"messages": [{"role": "user", "content": "b"}]}
{"messages": "[{\"role\": \"user\", \"content\": \"b\"}]", "text": null}
"#;
        let records = parse("a.jsonl", lines).unwrap();
        let chat = Content::Chat(vec![Message::new("user", "b")].into());
        assert_eq!((&records[0].content, records[0].weight), (&Content::Text("a".into()), 2.0));
        assert_eq!((&records[1].content, records[1].stratum.as_str(), records[1].number), (&chat, "all", 3));
        assert_eq!(records[2].content, chat);
    }

    #[test]
    fn documents_end_at_blank_lines() {
        let records = parse("a.txt", b"\n \none\n two\r\n\n\t\n\nthree").unwrap();
        let texts: Vec<&Content> = records.iter().map(|r| &r.content).collect();
        assert_eq!(texts, [&Content::Text("one\n two\n".into()), &Content::Text("three\n".into())]);
    }

    /// What a build without the feature says, which a build with it can show as well.
    #[test]
    fn a_build_without_parquet_says_what_to_do() {
        let shown = built_without_parquet(Path::new("a.parquet")).to_string();
        assert!(shown.contains("error[E1006]") && shown.contains("hint: build it with"), "{shown}");
    }

    #[test]
    fn other_kinds_of_files_are_refused_with_what_makes_records_of_them() {
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
        for (name, bytes, found, hint) in [
            ("a.jsonl.gz", &b"\x1f\x8b\x08"[..], "a gzipped file", "gunzip -k "),
            ("a.jsonl", b"\x1f\x8b\x08", "a gzipped file", "gunzip -k "),
            ("a.jsonl.zst", b"\x28\xb5\x2f\xfd", "a compressed file", "unpack it"),
            ("a.zip", b"PK\x03\x04", "an archive", "unpack it"),
            ("a.csv", b"text,stratum\n", "comma-separated", "pandas.read_csv("),
            ("a.jsonl", b"PAR1", "a parquet file", "pandas.read_parquet("),
            ("a.json", b"[\n{\"text\": \"a\"}]", "a JSON array", "jq -c '.[]' "),
            ("a.jsonl", lfs, "a pointer of Git LFS", "git lfs pull"),
            ("model.safetensors", b"\x08", "a file of weights", "JSON lines"),
            ("plan.json", b"{", "a plan's manifest", "JSON lines"),
            ("a.gguf", b"GGUF", "GGUF", "JSON lines"),
            ("a.parquet", b"\x1f\x8b\x08", "a gzipped file", "gunzip -k "),
        ] {
            let error = parse(name, bytes).unwrap_err();
            let shown = error.to_string();
            assert!(
                error.code == "E0805" && error.message.contains(found) && shown.contains(hint),
                "{name}: {shown}"
            );
        }
        // A table by its name, records by what it holds.
        parse("a.csv", b"{\"text\": \"a\"}").unwrap();
        parse("a.txt", b"[a]").unwrap();
    }

    #[test]
    fn paths_that_lead_to_no_file_of_records_say_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("texts.jsonl"), "{\"text\": \"a\"}").unwrap();
        let shown = |path: &Path| read(path).unwrap_err().to_string();
        let refused = shown(dir.path());
        assert!(refused.contains("error[E0801]") && refused.contains("such as"), "{refused}");
        let refused = shown(&dir.path().join("text.jsonl"));
        assert!(
            refused.contains("nothing named `text.jsonl`") && refused.contains("did you mean"),
            "{refused}"
        );
        assert!(refused.contains("texts.jsonl?"), "{refused}");
    }

    /// As of `--calib <(zcat records.jsonl.gz)`.
    #[test]
    fn pipes_are_read() {
        use std::{io::Write, os::fd::AsRawFd};
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"{\"text\": \"a\"}\n").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(read(Path::new(&path)).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_line() {
        for (bytes, code, at, expected) in [
            (&b""[..], "E0804", "a.jsonl", "found none"),
            (b"\n  \n", "E0804", "a.jsonl", "found none"),
            (b"{\"text\": \"a\xff\"}", "E0802", "a.jsonl", "offset 11"),
            (b"\n{", "E0803", "a.jsonl:2", "not a record"),
            (b"{\"stratum\": \"code\"}", "E0803", "a.jsonl:1", "found neither"),
            (br#"{"text": "a", "messages": [{"role": "user", "content": ""}]}"#, "E0803", ":1", "found both"),
            (br#"{"messages": []}"#, "E0803", ":1", "at least one"),
            (br#"{"messages": [{"role": "user"}]}"#, "E0803", ":1", "content"),
            (br#"{"messages": 7}"#, "E0803", ":1", "messages: expected a list"),
            (br#"{"text": "a", "weight": 0}"#, "E0803", ":1", "above 0, found 0"),
            (br#"{"text": "a", "weight": 1e999}"#, "E0803", ":1", "out of range"),
        ] {
            let error = parse("a.jsonl", bytes).unwrap_err();
            let shown = error.to_string();
            assert_eq!(error.code, code, "{shown}");
            assert!(
                error.location.file.as_ref().unwrap().ends_with(at) && shown.contains(expected),
                "{shown}"
            );
        }
        assert_eq!(parse("a.txt", b" \n\n").unwrap_err().code, "E0804");
        assert_eq!(read(Path::new("/nowhere.jsonl")).unwrap_err().code, "E0801");
    }
}
