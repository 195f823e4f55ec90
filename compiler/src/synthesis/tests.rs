//! What is made is what was asked for: the published shapes, whole or not at all, the same from the same seed.

use std::{fs, path::PathBuf};

use samp_runtime::{AddSpecial, Silent, SpecialTokens, Tokenizer};
use tempfile::TempDir;

use super::*;
use crate::{
    error_code,
    import::{TensorView, import, import_config},
};

/// A folder for checkpoints.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Fixture {
        Fixture(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a small checkpoint, as `change` asks.
    fn make(
        &self,
        name: &str,
        change: impl FnOnce(SynthesisRequest<'_>) -> SynthesisRequest<'_>,
    ) -> Result<Synthesized, EmitError> {
        let out = self.path(name);
        synthesize(&change(SynthesisRequest::new(CheckpointShape::Tiny, &out, &Silent)))
    }

    fn bytes(&self, name: &str, file: &str) -> Vec<u8> {
        fs::read(self.path(name).join(file)).unwrap()
    }
}

#[test]
fn shapes_are_those_of_the_published_configurations() {
    for (shape, file) in
        [(CheckpointShape::Llama32With1B, "llama-3.2-1b"), (CheckpointShape::Llama3With8B, "llama-3-8b")]
    {
        let configs = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/configs");
        let published = import_config(&PathBuf::from(configs).join(format!("{file}.json"))).unwrap();
        let made = shape.config(None, StoredType::Bf16).to_string();
        assert_eq!(parse_config(made.as_bytes(), file).unwrap(), published, "{file}");
        assert_eq!(shape.name(), file);
    }
}

#[test]
fn a_checkpoint_imports_with_every_tensor_and_its_tokenizer() {
    let fixture = Fixture::new();
    let made = fixture.make("model", |request| request).unwrap();
    let imported = import(&fixture.path("model")).unwrap();
    assert!(imported.warnings.is_empty(), "{:?}", imported.warnings);
    assert_eq!((made.layers, imported.config.model.layers), (2, 2));
    // Embedding and head, two layers of attention and MLP, and five norms.
    let layer = 128 * 128 + 2 * 64 * 128 + 128 * 128 + 3 * 256 * 128;
    assert_eq!(made.weights, 2 * 512 * 128 + 2 * layer + 5 * 128);
    assert_eq!(made.files, fs::read_dir(fixture.path("model")).unwrap().count());
    let text = "Zwölf Boxkämpfer,\n\t<|end_of_text|>";
    let tokenizer = Tokenizer::from_bytes(&fixture.bytes("model", TOKENIZER)).unwrap();
    let tokens = tokenizer.encode(text, AddSpecial::Yes).unwrap();
    assert_eq!(tokens.last(), Some(&511));
    assert_eq!(tokenizer.decode(&tokens, SpecialTokens::Keep).unwrap(), text);
    assert_eq!(tokenizer.decode(&[300], SpecialTokens::Keep).unwrap(), "", "an id without text");
}

#[test]
fn norms_are_ones_and_matrices_are_drawn() {
    for (dtype, one, bits) in [(StoredType::Bf16, 0x3f80, 0x3c00), (StoredType::F16, 0x3c00, 0x2000)] {
        let fixture = Fixture::new();
        fixture.make("model", |request| SynthesisRequest { dtype, ..request }).unwrap();
        let imported = import(&fixture.path("model")).unwrap();
        let values = |name: &str| {
            let TensorView { bytes, .. } = imported.checkpoint.tensor(name).unwrap();
            bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect::<Vec<u16>>()
        };
        assert!(values("model.norm.weight").iter().all(|value| *value == one));
        let drawn = values("model.layers.1.mlp.down_proj.weight");
        let near = drawn.iter().filter(|value| **value & 0x7fff > bits).count();
        // Magnitudes above 1/128, 0.39 deviations, are 70 % of all.
        assert!((0.68..0.71).contains(&(near as f64 / drawn.len() as f64)), "{near} of {}", drawn.len());
        assert!(drawn.iter().any(|value| value & 0x8000 != 0));
    }
}

#[test]
fn the_same_request_gives_the_same_bytes_and_another_seed_others() {
    let fixture = Fixture::new();
    fixture.make("first", |request| request).unwrap();
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    alone.install(|| fixture.make("again", |request| request)).unwrap();
    fixture.make("other", |request| SynthesisRequest { seed: 1, ..request }).unwrap();
    for entry in fs::read_dir(fixture.path("first")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(fixture.bytes("first", &name) == fixture.bytes("again", &name), "{name}");
    }
    let weights = |name: &str| fixture.bytes(name, "model.safetensors");
    assert!(weights("first") != weights("other"));
}

#[test]
fn fewer_layers_and_smaller_files_change_no_value() {
    let fixture = Fixture::new();
    fixture.make("whole", |request| request).unwrap();
    fn one(request: SynthesisRequest<'_>) -> SynthesisRequest<'_> {
        SynthesisRequest { layers: Some(1), max_file_bytes: 1 << 17, ..request }
    }
    assert_eq!(fixture.make("one", one).unwrap().layers, 1);
    let [whole, one] = ["whole", "one"].map(|name| import(&fixture.path(name)).unwrap().checkpoint);
    assert!(one.files().count() > 2 && whole.files().count() == 1);
    for name in one.names() {
        let [a, b] = [&whole, &one].map(|checkpoint| checkpoint.tensor(name).unwrap().bytes);
        assert!(a == b, "{name}");
    }
    assert!(whole.names().count() > one.names().count());
}

#[test]
fn what_is_there_is_replaced_by_its_like_alone_and_on_demand() {
    let fixture = Fixture::new();
    fn force(request: SynthesisRequest<'_>) -> SynthesisRequest<'_> {
        SynthesisRequest { force: true, ..request }
    }
    fixture.make("model", |request| request).unwrap();
    assert!(matches!(fixture.make("model", |request| request), Err(EmitError::Exists(_))));
    fixture.make("model", force).unwrap();
    fs::write(fixture.path("model").join("notes.txt"), "mine").unwrap();
    assert!(matches!(fixture.make("model", force), Err(EmitError::ForeignFiles { .. })));
    fs::create_dir(fixture.path("other")).unwrap();
    fs::write(fixture.path("other").join(CONFIG), "{}").unwrap();
    assert!(matches!(fixture.make("other", force), Err(EmitError::NotReplaceable { .. })));
    let left: Vec<_> = fs::read_dir(fixture.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing unfinished is left: {left:?}");
}

#[test]
fn layers_that_no_model_has_are_refused_before_anything_is_written() {
    let fixture = Fixture::new();
    for layers in [0, MAX_LAYERS + 1] {
        let refused = fixture.make("model", |request| SynthesisRequest { layers: Some(layers), ..request });
        assert_eq!(refused.unwrap_err().code(), error_code::CONFIG_VALUE, "{layers}");
    }
    assert_eq!(fs::read_dir(fixture.0.path()).unwrap().count(), 0);
}
