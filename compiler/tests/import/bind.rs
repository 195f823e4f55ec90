use std::{fs, path::Path};

use samp_compiler::import::{import, parameters};
use samp_ir::Diagnostic;
use serde_json::json;

use crate::{assert_case, report, testdata, tiny_checkpoint::TinyCheckpoint, without_folder};

#[test]
fn tiny_llama_imports() {
    let imported = import(&testdata("models/tiny-llama")).unwrap();
    assert_eq!(imported.warnings, []);
    let files: Vec<&str> = imported.files.iter().map(|f| f.name.as_str()).collect();
    let expected = [
        "config.json",
        "generation_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(files, expected);
    // Each tensor of the checkpoint is a parameter and the other way round.
    let mut sources: Vec<String> = parameters(&imported.config).into_iter().map(|p| p.source).collect();
    sources.sort();
    assert_eq!(sources, imported.checkpoint.names().collect::<Vec<_>>());
}

/// What import says of a tiny checkpoint; warnings count as refusals here, so that they show.
fn import_after(change: impl FnOnce(&mut TinyCheckpoint)) -> Result<(), Diagnostic> {
    import_folder(|tiny, dir| {
        change(tiny);
        tiny.write(dir);
    })
}

/// A `tokenizer.json` of two words, the second of which has the id `last`.
fn tokenizer(last: u64) -> String {
    let model = json!({ "type": "WordLevel", "vocab": { "one": 0, "two": last }, "unk_token": "one" });
    json!({ "version": "1.0", "added_tokens": [], "model": model }).to_string()
}

fn import_folder(write: impl FnOnce(&mut TinyCheckpoint, &Path)) -> Result<(), Diagnostic> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer.json"), tokenizer(95)).unwrap();
    write(&mut TinyCheckpoint::new(), dir.path());
    let imported = import(dir.path()).map_err(|finding| without_folder(finding, dir.path()))?;
    match imported.warnings.into_iter().next() {
        Some(warning) => Err(warning),
        None => Ok(()),
    }
}

#[test]
fn refused_tensors() {
    const Q: &str = "model.layers.0.self_attn.q_proj.weight";
    let tied = |tiny: &mut TinyCheckpoint| tiny.set("tie_word_embeddings", json!(true));
    let cases = [
        ("whole", import_after(|_| {})),
        ("missing", import_after(|t| drop(t.tensors.remove("model.norm.weight")))),
        ("missing head", import_after(|t| drop(t.tensors.remove("lm_head.weight")))),
        ("extra", import_after(|t| t.add("model.layers.2.mlp.up_proj.weight", &[128, 64]))),
        ("mis-shaped", import_after(|t| t.add(Q, &[64, 32]))),
        ("transposed", import_after(|t| t.add("model.layers.1.mlp.down_proj.weight", &[128, 64]))),
        ("vector for a matrix", import_after(|t| t.add(Q, &[4096]))),
        ("wrongly typed", import_after(|t| t.tensors.get_mut(Q).unwrap().dtype = "I16".into())),
        (
            "everything at once",
            import_after(|t| {
                t.tensors.remove("model.layers.0.mlp.gate_proj.weight");
                t.add("model.layers.0.mlp.gate.weight", &[128, 64]);
                t.add(Q, &[64, 32]);
                t.tensors.get_mut("model.norm.weight").unwrap().dtype = "U16".into();
            }),
        ),
        ("config of a larger model", import_after(|t| t.set("num_hidden_layers", json!(9)))),
        (
            "biases that the config does not name",
            import_after(|t| {
                t.add("model.layers.0.self_attn.q_proj.bias", &[64]);
            }),
        ),
        ("biases that are missing", import_after(|t| t.set("mlp_bias", json!(true)))),
        (
            "rotary frequencies",
            import_after(|t| {
                t.add("model.layers.0.self_attn.rotary_emb.inv_freq", &[8]);
                t.add("model.layers.1.self_attn.rotary_emb.inv_freq", &[8]);
            }),
        ),
        (
            "rotary buffers wherever they lie",
            import_after(|t| {
                for name in [
                    "model.rotary_emb.inv_freq",
                    "rope.freqs",
                    "model.layers.7.self_attn.rotary_emb.inv_freq",
                ] {
                    t.add(name, &[8]);
                }
                t.add("model.layers.0.self_attn.rotary_emb.cos_cached", &[1, 1, 256, 16]);
                t.add("model.rotary_emb.original_inv_freq", &[8]);
            }),
        ),
        (
            "tied, without a head",
            import_after(|t| {
                tied(t);
                t.tensors.remove("lm_head.weight");
            }),
        ),
        (
            "tied, with an equal head",
            import_after(|t| {
                tied(t);
                let table = t.tensors["model.embed_tokens.weight"].clone();
                t.tensors.insert("lm_head.weight".into(), table);
            }),
        ),
        (
            "tied, with an equal head of another type",
            import_after(|t| {
                tied(t);
                let mut head = t.tensors["model.embed_tokens.weight"].clone();
                let wide = |half: &[u8; 2]| [0, 0, half[0], half[1]];
                head.bytes = head.bytes.as_chunks().0.iter().flat_map(wide).collect();
                head.dtype = "F32".into();
                t.tensors.insert("lm_head.weight".into(), head);
            }),
        ),
        (
            "tied, with the head alone",
            import_after(|t| {
                tied(t);
                let table = t.tensors.remove("model.embed_tokens.weight").unwrap();
                t.tensors.insert("lm_head.weight".into(), table);
            }),
        ),
        ("tied, with another head", import_after(tied)),
        (
            "tied, with a head of another shape",
            import_after(|t| {
                tied(t);
                t.add("lm_head.weight", &[95, 64]);
            }),
        ),
    ];
    assert_case("bad_tensors", &report(cases));
}

/// Of a head that is stored alone, or without the decoder's prefix, every parameter is found under its usual name.
#[test]
fn other_layouts_have_the_usual_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut tiny = TinyCheckpoint::new();
    tiny.set("tie_word_embeddings", json!(true));
    let head = tiny.tensors.remove("lm_head.weight").unwrap();
    let bare = tiny.tensors.iter().map(|(name, tensor)| (name.replace("model.", ""), tensor.clone()));
    tiny.tensors = bare.filter(|(name, _)| name != "embed_tokens.weight").collect();
    tiny.tensors.insert("lm_head.weight".into(), head.clone());
    tiny.write(dir.path());
    let imported = import(dir.path()).unwrap();
    let table = imported.checkpoint.tensor("model.embed_tokens.weight").unwrap();
    assert!(imported.config.model.tied_embeddings && table.bytes == head.bytes);
    for parameter in parameters(&imported.config) {
        let tensor = imported.checkpoint.tensor(&parameter.source).unwrap();
        assert_eq!((tensor.name, tensor.shape), (parameter.source.as_str(), &parameter.shape[..]));
    }
    assert!(imported.checkpoint.tensor("lm_head.weight").is_none());
    assert!(!imported.checkpoint.content_blake3().is_empty());
}

/// Tied by its config, and with two sets of values: transformers uses both.
#[test]
fn a_tied_head_with_values_of_its_own_is_untied() {
    let dir = tempfile::tempdir().unwrap();
    let mut tiny = TinyCheckpoint::new();
    tiny.set("tie_word_embeddings", json!(true));
    tiny.write(dir.path());
    let imported = import(dir.path()).unwrap();
    assert!(!imported.config.model.tied_embeddings);
    assert_eq!(imported.warnings[0].code, "E0322");
}

#[test]
fn refused_text_files() {
    let with = |name: &'static str, bytes: &'static [u8]| {
        import_folder(move |tiny, dir| {
            tiny.write(dir);
            fs::write(dir.join(name), bytes).unwrap();
        })
    };
    let cases = [
        (
            "no tokenizer",
            import_folder(|tiny, dir| {
                tiny.write(dir);
                fs::remove_file(dir.join("tokenizer.json")).unwrap();
            }),
        ),
        ("damaged tokenizer", with("tokenizer.json", b"{\"model\": ")),
        ("tokenizer that is none", with("tokenizer.json", b"{\"model\": {\"type\": \"Unheard\"}}")),
        (
            "tokenizer with a token beyond the vocabulary",
            import_folder(|tiny, dir| {
                tiny.write(dir);
                fs::write(dir.join("tokenizer.json"), tokenizer(96)).unwrap();
            }),
        ),
        ("template that does not end", with("chat_template.jinja", b"{% for m in messages %}")),
        (
            "template of the settings that does not end",
            with("tokenizer_config.json", b"{\"chat_template\": \"{{ bos_token\"}"),
        ),
        ("special tokens that are a list", with("special_tokens_map.json", b"[]")),
        ("added tokens that are null", with("added_tokens.json", b"null")),
        ("tokenizer in binary", with("tokenizer.model", b"\xff\xfe")),
        ("damaged template of a processor", with("chat_template.json", b"{")),
        ("template that is no text", with("chat_template.jinja", b"\xff\xfe")),
        (
            "generation settings with a token beyond the vocabulary",
            with("generation_config.json", br#"{"eos_token_id": 1000}"#),
        ),
        (
            "no config",
            import_folder(|tiny, dir| {
                tiny.write(dir);
                fs::remove_file(dir.join("config.json")).unwrap();
            }),
        ),
    ];
    assert_case("bad_text_files", &report(cases));
}

#[test]
fn every_file_about_text_is_carried() {
    let dir = tempfile::tempdir().unwrap();
    TinyCheckpoint::new().write(dir.path());
    for (name, bytes) in [
        ("chat_template.jinja", &b"{{ bos_token }}"[..]),
        ("chat_template.json", b"{}"),
        ("tokenizer.json", tokenizer(95).as_bytes()),
        ("tokenizer.model", b"\x0a\xff"),
    ] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let imported = import(dir.path()).unwrap();
    let files: Vec<&str> = imported.files.iter().map(|f| f.name.as_str()).collect();
    let expected =
        ["config.json", "chat_template.jinja", "chat_template.json", "tokenizer.json", "tokenizer.model"];
    assert_eq!(files, expected);
}

/// Running the plan passes over what makes no sense and what samp cannot do; who compiles it hears of that.
#[test]
fn generation_settings_that_are_not_followed_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    TinyCheckpoint::new().write(dir.path());
    let notes = |settings: &str| {
        fs::write(dir.path().join("generation_config.json"), settings).unwrap();
        let warnings = import(dir.path()).unwrap().warnings;
        let found: Vec<_> = warnings.into_iter().filter(|warning| warning.code == "E0335").collect();
        found.into_iter().flat_map(|warning| warning.notes).collect::<Vec<_>>()
    };
    assert!(notes(r#"{"do_sample": true, "temperature": 0.6, "num_beams": 1}"#).is_empty());
    let expected =
        ["top_p: expected a number above 0 and at most 1, found 2", "num_beams = 4: not supported"];
    assert_eq!(notes(r#"{"top_p": 2, "num_beams": 4}"#), expected);
}

#[test]
fn generation_settings_name_the_ends() {
    let dir = tempfile::tempdir().unwrap();
    TinyCheckpoint::new().write(dir.path());
    fs::write(dir.path().join("generation_config.json"), r#"{"eos_token_id": [5, 6], "top_p": 0.9}"#)
        .unwrap();
    assert_eq!(import(dir.path()).unwrap().config.model.eos_token_ids, [5, 6]);
}

/// The outlier checkpoint that the script derives is the one that the published figures are for. BLAKE3 of its shards.
#[test]
fn outlier_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let script = testdata("models/make_outliers.py");
    match std::process::Command::new("python3").arg(script).arg(dir.path()).status() {
        Ok(status) => assert!(status.success()),
        Err(e) => return eprintln!("skipped: python3 does not run here ({e})"),
    }
    for (shard, expected) in [
        ("1", "ef09652556bb7700a4e1b51ff664c1a7f593a0c7b90afac2446f29cc18e1c34b"),
        ("2", "353e9222840b7acf4584095db2fc9e51e7f0b2ba6fd117381d8636bde98c686c"),
    ] {
        let bytes = fs::read(dir.path().join(format!("model-0000{shard}-of-00002.safetensors"))).unwrap();
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), expected);
    }
    assert_eq!(import(dir.path()).unwrap().warnings, []);
}
