//! What import says of folders that hold no checkpoint, or not a whole one, and of tensors under other names.

use std::{fs, os::unix::fs::symlink, path::Path};

use samp_compiler::import::import;
use samp_ir::Diagnostic;
use serde_json::json;

use crate::{assert_case, report, tiny_checkpoint::TinyCheckpoint, without_folder};

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4976698672\n";

/// What import says of a folder that `write` made, which is `DIR` in its text.
fn imported(write: impl FnOnce(&mut TinyCheckpoint, &Path)) -> Result<(), Diagnostic> {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    fs::create_dir(&model).unwrap();
    write(&mut TinyCheckpoint::new(), &model);
    import(&model).map(drop).map_err(|finding| without_folder(finding, dir.path()))
}

/// A sharded checkpoint with these files in place of its own; `None` removes one.
fn replaced(files: &[(&str, Option<&str>)]) -> Result<(), Diagnostic> {
    imported(|tiny, dir| {
        tiny.write_sharded(dir);
        for (name, text) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text {
                Some(text) => fs::write(path, text).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
    })
}

#[test]
fn downloads_that_are_not_whole() {
    const INDEX: &str = "model.safetensors.index.json";
    let lfs = Some(POINTER);
    let cases = [
        ("whole", replaced(&[])),
        ("shard missing", replaced(&[("b.safetensors", None)])),
        ("all shards missing", replaced(&[("a.safetensors", None), ("b.safetensors", None)])),
        (
            "part of a shard left behind",
            replaced(&[("b.safetensors", None), (".cache/huggingface/download/x.incomplete", Some(""))]),
        ),
        (
            "shard that is a dangling link",
            imported(|tiny, dir| {
                tiny.write_sharded(dir);
                fs::remove_file(dir.join("b.safetensors")).unwrap();
                symlink("../../blobs/00ff", dir.join("b.safetensors")).unwrap();
            }),
        ),
        ("index missing", replaced(&[(INDEX, None)])),
        ("pointers for weights", replaced(&[("a.safetensors", lfs), ("b.safetensors", lfs)])),
        ("pointer for the tokenizer", replaced(&[("tokenizer.json", lfs)])),
        ("pointer for the configuration", replaced(&[("config.json", lfs)])),
        ("pointer for the index", replaced(&[(INDEX, lfs)])),
        ("pointer for a file that nothing reads", replaced(&[("logo.png", lfs)])),
        (
            "other forms beside safetensors",
            replaced(&[("pytorch_model.bin", Some("x")), ("q4.gguf", Some("x"))]),
        ),
    ];
    assert_case("bad_downloads", &report(cases));
}

/// The tiny checkpoint, its tensors renamed; those that are given no name are left out.
fn renamed(name: impl Fn(&str) -> Option<String>) -> Result<(), Diagnostic> {
    imported(|tiny, dir| {
        let tensors = std::mem::take(&mut tiny.tensors).into_iter();
        tiny.tensors = tensors.filter_map(|(old, tensor)| Some((name(&old)?, tensor))).collect();
        tiny.write(dir);
    })
}

#[test]
fn tensors_under_other_prefixes_are_told_of_once() {
    let prefixed = |prefix: &'static str| renamed(move |name| Some(format!("{prefix}{name}")));
    let cases = [
        ("the decoder alone", renamed(|name| name.strip_prefix("model.").map(str::to_owned))),
        ("the decoder alone, with the head", renamed(|name| Some(name.replace("model.", "")))),
        ("language_model.", prefixed("language_model.")),
        ("model.language_model.", renamed(|name| Some(name.replace("model.", "model.language_model.")))),
        ("module.", prefixed("module.")),
        ("_orig_mod.", prefixed("_orig_mod.")),
        ("base_model.model.", prefixed("base_model.model.")),
        ("transformer.", renamed(|name| Some(name.replace("model.", "transformer.")))),
        ("thing.", prefixed("thing.")),
        (
            "with tensors that are still unknown",
            renamed(|name| match name {
                "model.norm.weight" => Some("vision.patch".into()),
                _ => Some(format!("language_model.{name}")),
            }),
        ),
        ("one tensor misnamed", renamed(|name| Some(name.replace("model.norm", "norm")))),
    ];
    assert_case("bad_prefixes", &report(cases));
}

/// A cause is told of once, however many tensors share it.
#[test]
fn findings_with_one_cause_are_one_note() {
    let larger = imported(|tiny, dir| {
        tiny.set("num_hidden_layers", json!(9));
        tiny.write(dir);
    });
    let finding = larger.unwrap_err();
    assert_eq!(finding.notes.len(), 1, "{finding}");
    assert!(
        finding.notes[0].contains("and 60 more: expected in F32, F16 or BF16, found no such tensors"),
        "{finding}"
    );
}
