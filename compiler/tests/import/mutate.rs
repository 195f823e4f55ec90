//! Random damage: whatever the bytes, an answer and no panic.

use proptest::prelude::*;
use samp_compiler::{
    import::{Checkpoint, bind, check_gguf, import, parse_config, parse_index, parse_safetensors},
    lower::recipe::parse_recipe,
};
use samp_ir::Severity;
use samp_kernels::format::RowSource;

use crate::{testdata, tiny_checkpoint::TinyCheckpoint};

/// One change to a text of bytes.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Truncate(prop::sample::Index),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Damage::Set(at, value) => {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            Damage::Insert(at, inserted) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, inserted.iter().copied());
            }
            Damage::Remove(at, count) => {
                let at = at.index(bytes.len());
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Damage::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    // Fragments that mean something in JSON reach further than random bytes.
    let fragment = prop::sample::select(vec![
        "null",
        "-1",
        "0",
        "1e308",
        "18446744073709551616",
        "\"\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "true",
        "9",
        "\u{e9}",
    ]);
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, value)| Damage::Set(at, value)),
        (index(), b'0'..=b'9').prop_map(|(at, value)| Damage::Set(at, value)),
        (index(), fragment).prop_map(|(at, text)| Damage::Insert(at, text.into())),
        (index(), 1usize..12).prop_map(|(at, count)| Damage::Remove(at, count)),
        index().prop_map(Damage::Truncate),
    ]
}

fn damaged(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    damages.iter().for_each(|d| d.apply(&mut bytes));
    bytes
}

const RECIPE: &str = "name = \"r\"\nkv = \"f16\"\n[[rule]]\nmatch = \"layers.*\"\nformat = \"nf4\"\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn configs(damages in prop::collection::vec(damage(), 1..5)) {
        let text = TinyCheckpoint::new().config_text();
        match parse_config(&damaged(text.as_bytes(), &damages), "config.json") {
            Ok(config) => {
                let model = &config.model;
                prop_assert_eq!(model.rope.inv_frequencies.len() as u64 * 2, model.head_dim);
                prop_assert!(model.rope.inv_frequencies.iter().all(|f| f.is_finite()));
                prop_assert!(model.heads % model.kv_heads == 0);
            }
            Err(finding) => {
                prop_assert_eq!(finding.severity, Severity::Error);
                prop_assert!(finding.location.file.is_some());
            }
        }
    }

    #[test]
    fn safetensors_headers(damages in prop::collection::vec(damage(), 1..5)) {
        let mut tiny = TinyCheckpoint::new();
        tiny.tensors.retain(|name, _| name.contains("norm"));
        // Damage falls into the length and the header, which is most of this file.
        let file = damaged(&tiny.safetensors(|_| true), &damages);
        if let Ok(entries) = parse_safetensors(&file, "model.safetensors") {
            for entry in entries.values() {
                prop_assert!(entry.start + entry.len <= file.len());
            }
        }
    }

    #[test]
    fn gguf_files(spm in any::<bool>(), damages in prop::collection::vec(damage(), 1..5)) {
        let seeds: [&[u8]; 2] =
            [include_bytes!("../../fuzz/seeds/gguf/bpe.gguf"), include_bytes!("../../fuzz/seeds/gguf/spm.gguf")];
        if let Err(finding) = check_gguf(&damaged(seeds[usize::from(spm)], &damages), "model.gguf") {
            prop_assert_eq!(finding.severity, Severity::Error);
            prop_assert!(finding.location.file.is_some());
        }
    }

    #[test]
    fn indexes(damages in prop::collection::vec(damage(), 1..5)) {
        let text = r#"{"metadata": {"total_size": 9}, "weight_map": {"a": "x-1.safetensors", "b": "y.safetensors"}}"#;
        if let Ok(index) = parse_index(&damaged(text.as_bytes(), &damages)) {
            prop_assert!(index.values().all(|file| !file.contains(['/', '\\'])));
        }
    }

    #[test]
    fn recipes(damages in prop::collection::vec(damage(), 1..5)) {
        let bytes = damaged(RECIPE.as_bytes(), &damages);
        if let Ok(recipe) = parse_recipe(&String::from_utf8_lossy(&bytes), "r.toml") {
            drop(recipe.resolve(&["layers.0.mlp.up_proj"]));
        }
    }
}

/// Quantized checkpoints of each kind of layout.
const QUANTIZED: [&str; 5] = ["gptq-g64-act-order", "bnb-nf4-dq", "ct-mixed", "ct-nvfp4", "hf-fp8-block"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damage to the configuration or the header of a quantized checkpoint: read to its end, or refused.
    #[test]
    fn quantized_checkpoints(
        which in 0..QUANTIZED.len(), in_config in any::<bool>(), damages in prop::collection::vec(damage(), 1..4)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let folder = testdata("quantized").join(QUANTIZED[which]);
        let [mut config, mut weights] =
            ["config.json", "model.safetensors"].map(|name| std::fs::read(folder.join(name)).unwrap());
        if in_config {
            config = damaged(&config, &damages);
        } else {
            let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
            let data = weights.split_off(header);
            weights = damaged(&weights, &damages);
            weights.extend(data);
        }
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        std::fs::write(dir.path().join("model.safetensors"), weights).unwrap();
        match import(dir.path()) {
            Ok(import) => {
                let name = "model.layers.0.mlp.up_proj.weight";
                let rows = import.checkpoint.rows(&[name]).unwrap();
                rows.read(0, &mut vec![0.0; rows.rows() * rows.cols()]);
            }
            Err(finding) => prop_assert_eq!(finding.severity, Severity::Error),
        }
    }

    /// A damaged file on disk: opened, bound and read to its end, or refused.
    #[test]
    fn whole_checkpoints(damages in prop::collection::vec(damage(), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        let tiny = TinyCheckpoint::new();
        let config = parse_config(tiny.config_text().as_bytes(), "config.json").unwrap();
        let file = damaged(&tiny.safetensors(|_| true), &damages);
        std::fs::write(dir.path().join("model.safetensors"), file).unwrap();
        if let Ok(checkpoint) = Checkpoint::open(dir.path()) {
            for name in checkpoint.names() {
                checkpoint.tensor(name).unwrap().bytes.iter().for_each(|b| { std::hint::black_box(b); });
            }
            drop(bind(&config, &checkpoint));
        }
    }
}
