//! What a file is, by its name and its first bytes.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use samp_abi::plan::MANIFEST_FILE;

use super::weight_format::WeightFormat;

/// How every pointer of Git LFS begins.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";
/// A key that only profiles have among their first ones.
const PROFILE_KEY: &[u8] = b"\"moment_tokens\"";
/// Bytes that are looked at.
const HEAD: u64 = 1024;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `plan.json` of a plan.
    Manifest,
    /// A certificate of a plan.
    Certificate,
    /// `config.json` of a checkpoint.
    Config,
    /// Weights of a checkpoint, or of a plan.
    Safetensors,
    /// The index of a checkpoint's weights.
    Index,
    /// Weights in a form that samp does not read.
    Foreign(&'static WeightFormat),
    /// What Git LFS leaves where it did not fetch the file.
    LfsPointer,
    /// What `samp measure` writes.
    Profile,
    /// Many files in one.
    Archive,
    /// A file that gzip made.
    Gzip,
    /// A file that another program compressed.
    Compressed,
    /// A table in parquet.
    Parquet,
    /// A table of values with commas or tabs between.
    Csv,
    /// A JSON array.
    JsonArray,
    /// A JSON object, or lines of them.
    Json,
    /// A TOML file.
    Toml,
    /// Nothing in it.
    Empty,
    /// Anything else.
    Other,
}

/// Names that say what a file is.
const NAMES: [(&str, FileKind); 12] = [
    (MANIFEST_FILE, FileKind::Manifest),
    ("certificate.json", FileKind::Certificate),
    ("config.json", FileKind::Config),
    (".safetensors.index.json", FileKind::Index),
    (".safetensors", FileKind::Safetensors),
    (".toml", FileKind::Toml),
    (".tar", FileKind::Archive),
    (".tar.gz", FileKind::Archive),
    (".tgz", FileKind::Archive),
    (".zip", FileKind::Archive),
    (".csv", FileKind::Csv),
    (".tsv", FileKind::Csv),
];

/// First bytes that say what a file is.
const MAGIC: [(&[u8], FileKind); 8] = [
    (b"\x1f\x8b", FileKind::Gzip),
    (b"\x28\xb5\x2f\xfd", FileKind::Compressed),
    (b"\xfd7zXZ", FileKind::Compressed),
    (b"BZh", FileKind::Compressed),
    (b"PK\x03\x04", FileKind::Archive),
    (b"PAR1", FileKind::Parquet),
    (b"[", FileKind::JsonArray),
    (b"{", FileKind::Json),
];

impl FileKind {
    /// Looks at a regular file.
    pub(super) fn of(path: &Path) -> io::Result<FileKind> {
        let mut head = Vec::new();
        File::open(path)?.take(HEAD).read_to_end(&mut head)?;
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        Ok(FileKind::by_head(&head, &name))
    }

    fn by_head(head: &[u8], name: &str) -> FileKind {
        if head.starts_with(LFS_POINTER) {
            return FileKind::LfsPointer;
        }
        let is_json = head.trim_ascii_start().starts_with(b"{");
        // Records are records, whatever their file is called.
        let named =
            NAMES.iter().find(|(end, kind)| name.ends_with(end) && !(is_json && *kind == FileKind::Csv));
        if let Some(format) = WeightFormat::by_name(name) {
            return FileKind::Foreign(format);
        }
        if let Some((_, kind)) = named {
            return *kind;
        }
        if head.is_empty() {
            return FileKind::Empty;
        }
        if head.starts_with(b"GGUF") {
            return FileKind::Foreign(WeightFormat::by_name("model.gguf").expect("a known form"));
        }
        if is_json && head.windows(PROFILE_KEY.len()).any(|bytes| bytes == PROFILE_KEY) {
            return FileKind::Profile;
        }
        let text = head.trim_ascii_start();
        MAGIC.iter().find(|(magic, _)| text.starts_with(magic)).map_or(FileKind::Other, |(_, kind)| *kind)
    }

    /// Whether it can be a model's configuration, under whatever name.
    pub fn may_be_config(self) -> bool {
        use FileKind::{Config, Empty, Json, JsonArray, Other};
        matches!(self, Config | Json | JsonArray | Empty | Other)
    }

    /// For people, such as `a plan's manifest`.
    pub fn noun(self) -> &'static str {
        match self {
            FileKind::Manifest => "a plan's manifest",
            FileKind::Certificate => "a plan's certificate",
            FileKind::Config => "a model's configuration",
            FileKind::Safetensors => "a file of weights",
            FileKind::Index => "an index of weights",
            FileKind::Foreign(format) => format.noun,
            FileKind::LfsPointer => "a pointer of Git LFS in place of the file",
            FileKind::Profile => "a profile of sensitivities",
            FileKind::Archive => "an archive",
            FileKind::Gzip => "a gzipped file",
            FileKind::Compressed => "a compressed file",
            FileKind::Parquet => "a parquet file",
            FileKind::Csv => "a table of comma-separated values",
            FileKind::JsonArray => "a JSON array",
            FileKind::Json => "a JSON file",
            FileKind::Toml => "a TOML file",
            FileKind::Empty => "an empty file",
            FileKind::Other => "a file",
        }
    }
}

/// Whether a regular file is a pointer that Git LFS left in its place. What cannot be read is none.
pub fn is_lfs_pointer(path: &Path) -> bool {
    let small = path.metadata().is_ok_and(|found| found.is_file() && found.len() <= HEAD);
    small && FileKind::of(path).is_ok_and(|kind| kind == FileKind::LfsPointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_name_and_by_first_bytes() {
        let cases: [(&str, &[u8], FileKind); 14] = [
            ("plan.json", b"{", FileKind::Manifest),
            ("model.safetensors", b"\x08", FileKind::Safetensors),
            ("model.safetensors.index.json", b"{", FileKind::Index),
            ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", FileKind::LfsPointer),
            ("a.jsonl", b"\x1f\x8b\x08", FileKind::Gzip),
            ("a.jsonl", b"PAR1", FileKind::Parquet),
            ("a.json", b" \n[{", FileKind::JsonArray),
            ("a.jsonl", b"{\"text\"", FileKind::Json),
            ("a.csv", b"text,stratum", FileKind::Csv),
            ("a.csv", b"{\"text\"", FileKind::Json),
            ("profile.json", b"{\n  \"moment_tokens\": 7", FileKind::Profile),
            ("a.tar.gz", b"\x1f\x8b", FileKind::Archive),
            ("a", b"", FileKind::Empty),
            ("a", b"text", FileKind::Other),
        ];
        for (name, head, kind) in cases {
            assert_eq!(FileKind::by_head(head, name), kind, "{name} {head:?}");
        }
    }

    #[test]
    fn other_forms_of_weights_are_named() {
        for (name, head, noun) in [
            ("llama.q4_k_m.gguf", &b"GGUF"[..], "GGUF"),
            ("llama", b"GGUF", "GGUF"),
            ("empty.gguf", b"", "GGUF"),
            ("consolidated.00.pth", b"PK\x03\x04", "Meta"),
            ("consolidated.safetensors", b"\x08", "Mistral"),
            ("pytorch_model-00001-of-00002.bin", b"PK\x03\x04", "PyTorch"),
            ("tf_model.h5", b"\x89HDF", "TensorFlow"),
            ("flax_model.msgpack", b"\x81", "Flax"),
            ("model.onnx", b"\x08", "ONNX"),
        ] {
            let kind = FileKind::by_head(head, name);
            assert!(matches!(kind, FileKind::Foreign(_)) && kind.noun().contains(noun), "{name}: {kind:?}");
        }
    }
}
