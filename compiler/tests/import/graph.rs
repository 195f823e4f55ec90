use samp_compiler::import::{import, import_config, parameters, parse_config};
use samp_ir::{Context, Module, Phase, WeightOp, verify};
use serde_json::json;

use crate::{assert_case, testdata, tiny_checkpoint::TinyCheckpoint};

fn two_layers(edits: &[(&str, serde_json::Value)]) -> Module {
    let mut tiny = TinyCheckpoint::new();
    for (key, value) in edits {
        tiny.set(key, value.clone());
    }
    let config = parse_config(tiny.config_text().as_bytes(), "config.json").unwrap();
    config.build_graph(&Context::new())
}

#[test]
fn two_layer_graphs() {
    let plain = two_layers(&[]);
    verify(&plain, Phase::Model).unwrap();
    assert_case("graph", &plain.to_string());
    let tied = two_layers(&[
        ("tie_word_embeddings", json!(true)),
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("num_hidden_layers", json!(1)),
    ]);
    verify(&tied, Phase::Model).unwrap();
    assert_case("graph_tied_with_biases", &tied.to_string());
}

/// Shapes of published models import without weights; each parameter is one weight op.
#[test]
fn published_shapes_build() {
    for name in ["llama-2-7b", "llama-3-8b", "llama-3-70b", "llama-3.1-8b", "llama-3.2-1b", "mistral-7b-v0.1"]
    {
        let config = import_config(&testdata(&format!("configs/{name}.json"))).unwrap();
        let module = config.build_graph(&Context::new());
        verify(&module, Phase::Model).unwrap();
        // 9 weights and 15 other ops in a layer; embed, gather, norm, head and their weights around them.
        let around = if config.model.tied_embeddings { 6 } else { 7 };
        assert_eq!(module.ops().count() as u64, 24 * config.model.layers + around, "{name}");
        let keys: Vec<&str> = module.views::<WeightOp>().map(|w| w.key()).collect();
        let mut expected: Vec<String> = parameters(&config).into_iter().map(|p| p.key).collect();
        let mut found = keys.clone();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn real_checkpoint_builds_as_its_config_alone() {
    let context = Context::new();
    let imported = import(&testdata("models/tiny-llama")).unwrap();
    let graph = imported.build_graph(&context).to_string();
    assert_eq!(graph, imported.config.build_graph(&context).to_string());
    assert!(graph.contains("tensor<4096x256xbf16>"));
}
