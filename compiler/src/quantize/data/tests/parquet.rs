//! Records of a parquet file written on the spot.

use std::sync::Arc;

use ::parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, DoubleType},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use super::{super::source_record::Content, *};

const SCHEMA: &str = "message rows {
    optional binary text (UTF8);
    optional binary messages (UTF8);
    optional binary stratum (UTF8);
    optional double weight;
}";

/// Text, messages, stratum, weight.
type Row = (Option<&'static str>, Option<&'static str>, Option<&'static str>, Option<f64>);

fn write(path: &Path, rows: &[Row], compression: Compression) {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let levels = |is_there: Vec<bool>| is_there.into_iter().map(i16::from).collect::<Vec<i16>>();
    let texts: [Vec<Option<&str>>; 3] = [
        rows.iter().map(|row| row.0).collect(),
        rows.iter().map(|row| row.1).collect(),
        rows.iter().map(|row| row.2).collect(),
    ];
    for column in texts {
        let values: Vec<ByteArray> = column.iter().flatten().map(|text| ByteArray::from(*text)).collect();
        let levels = levels(column.iter().map(Option::is_some).collect());
        let mut to = group.next_column().unwrap().unwrap();
        to.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        to.close().unwrap();
    }
    let weights: Vec<f64> = rows.iter().filter_map(|row| row.3).collect();
    let levels = levels(rows.iter().map(|row| row.3.is_some()).collect());
    let mut to = group.next_column().unwrap().unwrap();
    to.typed::<DoubleType>().write_batch(&weights, Some(&levels), None).unwrap();
    to.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn rows_are_records() {
    let folder = Folder::new();
    let path = folder.0.path().join("a.parquet");
    let chat = r#"[{"role": "user", "content": "b"}]"#;
    let rows = [(Some("a"), None, Some("code"), Some(2.5)), (None, Some(chat), None, None)];
    for compression in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())]
    {
        write(&path, &rows, compression);
        let records = records::read(&path).unwrap();
        assert_eq!((records.len(), &records[0].content), (2, &Content::Text("a".into())));
        assert_eq!((records[0].stratum.as_str(), records[0].weight), ("code", 2.5));
        let conversation = vec![Message::new("user", "b")].into();
        assert_eq!((&records[1].content, records[1].number), (&Content::Chat(conversation), 2));
    }
}

#[test]
fn faults_have_a_row_and_damage_never_panics() {
    let folder = Folder::new();
    let path = folder.0.path().join("a.parquet");
    write(&path, &[(Some("a"), None, None, None), (None, None, None, None)], Compression::SNAPPY);
    let error = records::read(&path).unwrap_err();
    assert!(error.code == "E0803" && error.to_string().contains("a.parquet:2"), "{error}");
    write(&path, &[], Compression::SNAPPY);
    assert_eq!(records::read(&path).unwrap_err().code, "E0804");
    write(&path, &[(Some("some text"), None, Some("code"), Some(1.0)); 20], Compression::SNAPPY);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(&path, damaged).unwrap();
        let _ = records::read(&path);
        fs::write(&path, &whole[..at]).unwrap();
        let found = records::read(&path).unwrap_err();
        assert!(found.code == error_code::PARQUET, "{at}: {found}");
    }
}
