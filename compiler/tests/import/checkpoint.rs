use std::{fs, path::Path};

use samp_compiler::import::{Checkpoint, SourceRows};
use samp_ir::Diagnostic;
use samp_kernels::format::RowSource;
use serde_json::json;

use crate::{
    assert_case, report, testdata,
    tiny_checkpoint::{StoredTensor, TinyCheckpoint, with_header},
    without_folder,
};

#[test]
fn tiny_llama_opens() {
    let checkpoint = Checkpoint::open(&testdata("models/tiny-llama")).unwrap();
    assert_eq!(checkpoint.names().count(), 57);
    assert!(checkpoint.names().is_sorted());
    let files: Vec<_> = checkpoint.files().map(|f| (f.name.as_str(), f.bytes)).collect();
    let expected =
        [("model-00001-of-00002.safetensors", 7_215_680), ("model-00002-of-00002.safetensors", 7_215_040)];
    assert_eq!(files, expected);
    assert!(checkpoint.files().all(|f| f.header_blake3.len() == 64));
    let head = checkpoint.tensor("lm_head.weight").unwrap();
    assert_eq!((head.shape, head.file), (&[4096, 256][..], "model-00002-of-00002.safetensors"));
    let first = head.bytes[0];
    checkpoint.release("lm_head.weight");
    assert_eq!(checkpoint.tensor("lm_head.weight").unwrap().bytes[0], first);
    checkpoint.check_unchanged().unwrap();
    assert!(checkpoint.tensor("lm_head").is_none());
}

fn open_after(damage: impl FnOnce(&mut TinyCheckpoint, &Path)) -> Result<(), Diagnostic> {
    let dir = tempfile::tempdir().unwrap();
    let mut tiny = TinyCheckpoint::new();
    damage(&mut tiny, dir.path());
    Checkpoint::open(dir.path()).map(drop).map_err(|finding| without_folder(finding, dir.path()))
}

/// A single file with this header and 64 bytes of data.
fn header(text: &str) -> Result<(), Diagnostic> {
    file(&with_header(text, &[0; 64]))
}

fn file(bytes: &[u8]) -> Result<(), Diagnostic> {
    open_after(|_, dir| fs::write(dir.join("model.safetensors"), bytes).unwrap())
}

#[test]
fn refused_files() {
    let whole = TinyCheckpoint::new().safetensors(|_| true);
    let mut long_header = whole.clone();
    long_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        header(&format!(r#"{{"t": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}}}"#))
    };
    let two = |a: &str, b: &str| {
        header(&format!(
            r#"{{"a": {{"dtype": "U8", "shape": [32], "data_offsets": {a}}},
                "b": {{"dtype": "U8", "shape": [32], "data_offsets": {b}}}}}"#
        ))
    };
    let cases = [
        ("whole", file(&whole)),
        ("zero length", file(&[])),
        ("seven bytes", file(&whole[..7])),
        ("header length overflows", file(&long_header)),
        ("cut inside the header", file(&whole[..100])),
        ("cut inside the data", file(&whole[..whole.len() - 1])),
        ("bytes after the last tensor", file(&[&whole[..], &[0; 3]].concat())),
        ("header is a list", header("[]")),
        ("header is no JSON", header("{\"t\"")),
        ("header is no UTF-8", file(&[&2u64.to_le_bytes()[..], &[0xff, 0xfe]].concat())),
        (
            "metadata that is null",
            header(r#"{"__metadata__": null, "t": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}}"#),
        ),
        ("metadata of numbers", header(r#"{"__metadata__": {"a": 1}}"#)),
        ("no tensors", header("{}")),
        ("entry without offsets", header(r#"{"t": {"dtype": "U8", "shape": [64]}}"#)),
        ("unknown type", entry("F7", "[64]", "[0, 64]")),
        ("offsets beyond the end", entry("U8", "[65]", "[0, 65]")),
        ("offsets that overflow", entry("U8", "[1]", "[18446744073709551615, 0]")),
        ("negative dimension", entry("U8", "[-1]", "[0, 64]")),
        ("shape that overflows", entry("F32", "[4294967296, 4294967296, 4294967296]", "[0, 64]")),
        ("size that disagrees with the shape", entry("F32", "[8]", "[0, 64]")),
        ("nine dimensions", entry("U8", "[1, 1, 1, 1, 1, 1, 1, 1, 64]", "[0, 64]")),
        ("overlap", two("[0, 32]", "[16, 48]")),
        ("side by side", two("[0, 32]", "[32, 64]")),
        (
            "gap",
            header(
                r#"{"a": {"dtype": "U8", "shape": [16], "data_offsets": [0, 16]},
                "b": {"dtype": "U8", "shape": [32], "data_offsets": [32, 64]}}"#,
            ),
        ),
        ("data before the first tensor", entry("U8", "[32]", "[32, 64]")),
        (
            "a tensor twice",
            header(
                r#"{"t": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]},
                "t": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}}"#,
            ),
        ),
    ];
    assert_case("bad_safetensors", &report(cases));
}

fn index(text: &str) -> Result<(), Diagnostic> {
    open_after(|tiny, dir| {
        tiny.write_sharded(dir);
        fs::write(dir.join("model.safetensors.index.json"), text).unwrap();
    })
}

fn index_of(tensor: &str, file: &str) -> Result<(), Diagnostic> {
    index(&json!({ "weight_map": { tensor: file } }).to_string())
}

#[test]
fn refused_folders() {
    let cases = [
        ("sharded", open_after(|tiny, dir| tiny.write_sharded(dir))),
        ("no weights", open_after(|_, _| {})),
        ("pickled weights", open_after(|_, dir| fs::write(dir.join("pytorch_model.bin"), b"x").unwrap())),
        (
            "two sets of weights",
            open_after(|tiny, dir| {
                tiny.write(dir);
                tiny.write_sharded(dir);
            }),
        ),
        ("a folder for a file", open_after(|_, dir| fs::create_dir(dir.join("model.safetensors")).unwrap())),
        (
            "missing shard",
            open_after(|tiny, dir| {
                tiny.write_sharded(dir);
                fs::remove_file(dir.join("b.safetensors")).unwrap();
            }),
        ),
        (
            "shard cut short",
            open_after(|tiny, dir| {
                tiny.write_sharded(dir);
                let bytes = fs::read(dir.join("b.safetensors")).unwrap();
                fs::write(dir.join("b.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
            }),
        ),
        (
            "tensor in two shards",
            open_after(|tiny, dir| {
                tiny.write_sharded(dir);
                let both = |name: &str| name.contains("layers.1.") || name == "model.norm.weight";
                fs::write(dir.join("b.safetensors"), tiny.safetensors(both)).unwrap();
            }),
        ),
        (
            "shards exchanged",
            open_after(|tiny, dir| {
                tiny.tensors.retain(|name, _| name.ends_with("input_layernorm.weight"));
                tiny.write_sharded(dir);
                fs::rename(dir.join("a.safetensors"), dir.join("c")).unwrap();
                fs::rename(dir.join("b.safetensors"), dir.join("a.safetensors")).unwrap();
                fs::rename(dir.join("c"), dir.join("b.safetensors")).unwrap();
            }),
        ),
        (
            "tensor that the index lacks, and one that the shard lacks",
            open_after(|tiny, dir| {
                tiny.write_sharded(dir);
                tiny.tensors.remove("model.norm.weight");
                tiny.add("model.stray.weight", &[4]);
                fs::write(dir.join("a.safetensors"), tiny.safetensors(|name| !name.contains("layers.1.")))
                    .unwrap();
            }),
        ),
        ("index without a map", index("{}")),
        ("index with an empty map", index(r#"{"weight_map": {}}"#)),
        ("index with a stray key", index(r#"{"weight_map": {}, "shards": 2}"#)),
        (
            "index with a tensor twice",
            index(r#"{"weight_map": {"t": "a.safetensors", "t": "b.safetensors"}}"#),
        ),
        (
            "shards of odd names",
            open_after(|tiny, dir| {
                tiny.write_sharded(dir);
                let (index, odd) =
                    (dir.join("model.safetensors.index.json"), "model (1)+a=b, größer.safetensors");
                let text = fs::read_to_string(&index).unwrap().replace("b.safetensors", odd);
                fs::write(&index, text).unwrap();
                fs::rename(dir.join("b.safetensors"), dir.join(odd)).unwrap();
            }),
        ),
        ("shard with a line break", index_of("t", "a\nb.safetensors")),
        ("shard above the folder", index_of("t", "../a.safetensors")),
        ("shard by absolute path", index_of("t", "/etc/a.safetensors")),
        ("shard with a backslash", index_of("t", "..\\a.safetensors")),
        ("hidden shard", index_of("t", ".safetensors")),
        ("shard of another kind", index_of("t", "a.bin")),
        ("index with a size below 0", index(r#"{"metadata": {"total_size": -5}, "weight_map": {}}"#)),
        ("index with a size in words", index(r#"{"metadata": {"total_size": "5"}, "weight_map": {}}"#)),
        ("index with a list of metadata", index(r#"{"metadata": [], "weight_map": {}}"#)),
    ];
    assert_case("bad_folders", &report(cases));
}

#[test]
fn changes_after_opening_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    TinyCheckpoint::new().write(dir.path());
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    checkpoint.check_unchanged().unwrap();
    let appended = fs::OpenOptions::new().append(true).open(dir.path().join("model.safetensors"));
    std::io::Write::write_all(&mut appended.unwrap(), b"x").unwrap();
    assert_eq!(checkpoint.check_unchanged().unwrap_err().code, "E0313");
}

/// Rows of tensors in each type, on even and odd addresses, alone and one after another.
#[test]
fn rows_are_the_values() {
    let values: Vec<f32> = (0..24).map(|i| (i as f32 - 11.5) * 0.25).collect();
    let encode = |dtype: &str| -> Vec<u8> {
        match dtype {
            "F32" => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            "F16" => values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let mut tiny = TinyCheckpoint::new();
    tiny.tensors.clear();
    let mut add = |name: &str, dtype: &str, shape: &[u64], bytes: Vec<u8>| {
        tiny.tensors.insert(name.into(), StoredTensor { dtype: dtype.into(), shape: shape.to_vec(), bytes });
    };
    for dtype in ["F32", "F16", "BF16"] {
        add(&format!("a_{dtype}"), dtype, &[6, 4], encode(dtype));
        add(&format!("c_{dtype}"), dtype, &[6, 4], encode(dtype));
        add(&format!("v_{dtype}"), dtype, &[24], encode(dtype));
    }
    add("b_odd", "U8", &[1], vec![0]);
    tiny.write(dir.path());
    let checkpoint = Checkpoint::open(dir.path()).unwrap();

    let doubled = [&values[..], &values[..]].concat();
    for dtype in ["F32", "F16", "BF16"] {
        let pair = checkpoint.rows(&[format!("a_{dtype}"), format!("c_{dtype}")]).unwrap();
        assert_eq!((pair.rows(), pair.cols()), (12, 4));
        for (first, count) in [(0, 12), (0, 1), (5, 2), (3, 9), (11, 1), (6, 6)] {
            assert_eq!(
                read(&pair, first, count),
                doubled[first * 4..(first + count) * 4],
                "{dtype} {first}+{count}"
            );
        }
        let vector = checkpoint.rows(&[format!("v_{dtype}"), "v_F32".into()]).unwrap();
        assert_eq!((vector.rows(), vector.cols()), (1, 48));
        assert_eq!(read(&vector, 0, 1), doubled);
    }
    let refused = |names: &[&str]| checkpoint.rows(names).map(drop);
    let cases = [
        ("vector beside a matrix", refused(&["a_F32", "v_F32"])),
        ("bytes", refused(&["b_odd"])),
        ("no such tensor", refused(&["nothing"])),
    ];
    assert_case("bad_rows", &report(cases));
}

fn read(rows: &SourceRows<'_>, first: usize, count: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; count * rows.cols()];
    rows.read(first, &mut out);
    out
}
