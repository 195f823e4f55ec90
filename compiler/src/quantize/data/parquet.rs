//! Records in parquet files: a row is what a line of JSON is elsewhere, its columns the keys.

use std::{fs::File, path::Path};

use ::parquet::{
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    record::Row,
};
use samp_ir::Diagnostic;
use samp_runtime::{catch_library_panic, outside_file::open_at_most};

use super::source_record::{HINT, Line, SourceRecord};
use crate::{
    error_code,
    jsonl::{MAX_DATA_BYTES, NotARecord, no_record, not_a_record},
};

/// Reads the rows of a file. `messages` is a column of JSON texts, or of lists of `role` and `content`.
pub(super) fn read_parquet(path: &Path) -> Result<Vec<SourceRecord>, Diagnostic> {
    let file = path.display().to_string();
    let opened = open_at_most(path, MAX_DATA_BYTES).map_err(|e| {
        Diagnostic::of_io(error_code::UNREADABLE_DATA, format!("the data file cannot be read: {e}"), &e)
            .in_file(&file)
    })?;
    let rows = catch_library_panic("parquet", || rows(opened)).map_err(|found| {
        Diagnostic::bad_input(error_code::PARQUET, format!("expected a sound parquet file, found: {found}"))
            .in_file(&file)
            .hint("write the file again, with snappy, zstd or no compression")
    })?;
    let record =
        |(row, number)| record(&row, number).map_err(|fault| not_a_record(&file, number, fault, HINT));
    let records: Vec<SourceRecord> = rows.into_iter().zip(1..).map(record).collect::<Result<_, _>>()?;
    if records.is_empty() { Err(no_record(&file)) } else { Ok(records) }
}

fn rows(file: File) -> Result<Vec<Row>, ParquetError> {
    SerializedFileReader::new(file)?.get_row_iter(None)?.collect()
}

fn record(row: &Row, number: usize) -> Result<SourceRecord, NotARecord> {
    let line: Line = serde_json::from_value(row.to_json_value()).map_err(|e| NotARecord::malformed(&e))?;
    line.record(number)
}
