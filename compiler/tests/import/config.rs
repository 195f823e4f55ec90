use samp_abi::{
    ElementType,
    plan::{Architecture, Model, Rope},
};
use samp_compiler::import::{ModelConfig, RopeScaling, import_config, parse_config};
use serde_json::{Value, json};

use crate::{assert_case, report, testdata, tiny_checkpoint::TinyCheckpoint};

fn shipped(name: &str) -> ModelConfig {
    import_config(&testdata(&format!("configs/{name}.json"))).unwrap()
}

#[test]
fn tiny_llama() {
    let config = import_config(&testdata("models/tiny-llama/config.json")).unwrap();
    let expected = Model {
        architecture: Architecture::LlamaForCausalLM,
        hidden_size: 256,
        intermediate_size: 896,
        layers: 6,
        heads: 8,
        kv_heads: 2,
        head_dim: 32,
        vocab_size: 4096,
        rope: Rope {
            inv_frequencies: (0..16).map(|i| 5e5f64.powf(-f64::from(i) / 16.0)).collect(),
            rotary_dim: None,
            scale: 1.0,
        },
        sliding_window: None,
        full_attention_layers: vec![],
        unturned_layers: vec![],
        embedding_scale: 1.0,
        tied_embeddings: false,
        bos_token_id: Some(4088),
        eos_token_ids: vec![4089, 4092],
    };
    assert_eq!(config.model, expected);
    assert_eq!((config.rms_norm_eps, config.qkv_bias, config.mlp_bias), (1e-5, false, false));
    assert_eq!((config.dtype, config.max_position_embeddings), (Some(ElementType::Bf16), 2048));
}

#[test]
fn published_shapes() {
    let llama2 = shipped("llama-2-7b");
    assert_eq!((llama2.rope.theta, llama2.model.head_dim, llama2.model.kv_heads), (10_000.0, 128, 32));
    assert_eq!(llama2.dtype, Some(ElementType::F16));
    let llama3 = shipped("llama-3-70b");
    assert_eq!((llama3.rope.theta, llama3.model.kv_heads, llama3.model.layers), (500_000.0, 8, 80));
    let small = shipped("llama-3.2-1b");
    assert!(small.model.tied_embeddings);
    assert!(matches!(small.rope.scaling, RopeScaling::Llama3 { factor: 32.0, original_context: 8192, .. }));
    let mistral = shipped("mistral-7b-v0.1");
    assert_eq!(mistral.model.architecture, Architecture::MistralForCausalLM);
    assert_eq!(mistral.model.sliding_window, Some(4096));
}

/// Frequencies against transformers, which computes them in f32.
#[test]
fn rotary_frequencies_equal_transformers() {
    let golden = std::fs::read(testdata("rope/golden.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 22);
    for case in cases {
        let mut config = parse_config(case["config"].to_string().as_bytes(), "config.json").unwrap();
        if let Some(context) = case["context"].as_u64() {
            let warned = config.set_context(context).is_some();
            // LongRoPE has frequencies of its own for contexts within what the model was trained for, too.
            let long = matches!(config.rope.scaling, RopeScaling::LongRope { original_context, .. } if context > original_context);
            assert_eq!(warned, context > config.max_position_embeddings || long, "{}", case["name"]);
        }
        let scale = case["scale"].as_f64().unwrap();
        assert!((config.model.rope.scale / scale - 1.0).abs() < 1e-6, "{}: times {scale}", case["name"]);
        let found = &config.model.rope.inv_frequencies;
        let expected = case["inv_frequencies"].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{}", case["name"]);
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let expected = expected.as_f64().unwrap();
            let relative = (found / expected - 1.0).abs();
            assert!(relative < 1e-6, "{} pair {i}: {found} against {expected}, {relative:e}", case["name"]);
        }
    }
}

fn with(edits: Value) -> Result<ModelConfig, samp_ir::Diagnostic> {
    let mut tiny = TinyCheckpoint::new();
    for (key, value) in edits.as_object().unwrap() {
        tiny.set(key, value.clone());
    }
    parse_config(tiny.config_text().as_bytes(), "config.json")
}

fn without(key: &str) -> Result<ModelConfig, samp_ir::Diagnostic> {
    let mut tiny = TinyCheckpoint::new();
    tiny.config.remove(key);
    parse_config(tiny.config_text().as_bytes(), "config.json")
}

const MISTRAL: [(&str, &str); 2] =
    [("architectures", "[\"MistralForCausalLM\"]"), ("model_type", "\"mistral\"")];

fn mistral(edits: Value) -> Result<ModelConfig, samp_ir::Diagnostic> {
    let mut all = edits;
    for (key, value) in MISTRAL {
        all[key] = serde_json::from_str(value).unwrap();
    }
    with(all)
}

/// A config of two layers, as of another architecture.
fn of_type(model_type: &str, edits: Value) -> Result<ModelConfig, samp_ir::Diagnostic> {
    let mut all = json!({ "architectures": null, "model_type": model_type });
    all.as_object_mut().unwrap().extend(edits.as_object().unwrap().clone());
    with(all)
}

/// The window, and the layers that see every position all the same.
#[test]
fn windows_of_the_upper_layers() {
    let windows = |edits: Value| {
        let model = of_type("qwen2", edits).unwrap().model;
        assert_eq!(model.window(0), model.sliding_window.filter(|_| model.full_attention_layers != [0]));
        (model.sliding_window, model.full_attention_layers)
    };
    let unused = json!({ "sliding_window": 32, "max_window_layers": 0, "use_sliding_window": false });
    assert_eq!(windows(unused), (None, vec![]));
    let asked = |edits: Value| {
        let mut all = json!({ "use_sliding_window": true, "sliding_window": 32 });
        all.as_object_mut().unwrap().extend(edits.as_object().unwrap().clone());
        all
    };
    assert_eq!(windows(asked(json!({}))), (None, vec![]), "transformers' default is above both layers");
    assert_eq!(windows(asked(json!({ "max_window_layers": 0 }))), (Some(32), vec![]));
    assert_eq!(windows(asked(json!({ "max_window_layers": 1 }))), (Some(32), vec![0]));
    let listed = json!({ "layer_types": ["sliding_attention", "full_attention"], "max_window_layers": 0 });
    assert_eq!(windows(asked(listed)), (Some(32), vec![1]));
    let absent = json!({ "use_sliding_window": true, "max_window_layers": 0 });
    assert_eq!(windows(absent), (Some(4096), vec![]));
    let none = json!({ "use_sliding_window": true, "max_window_layers": 0, "sliding_window": null });
    assert_eq!(windows(none), (None, vec![]));
}

/// Which projections have biases, of two that say nothing of them and one that is asked.
#[test]
fn biases_are_those_of_the_architecture() {
    let biases = |model_type: &str, edits: Value| {
        let config = of_type(model_type, edits).unwrap();
        [config.qkv_bias, config.output_bias, config.mlp_bias]
    };
    assert_eq!(biases("llama", json!({})), [false; 3]);
    assert_eq!(biases("llama", json!({ "attention_bias": true })), [true, true, false]);
    for read_by_nobody in [json!({}), json!({ "attention_bias": true, "mlp_bias": true })] {
        assert_eq!(biases("qwen2", read_by_nobody), [true, false, false]);
    }
}

/// The layers that turn nothing, and windows that follow them.
#[test]
fn layers_without_positions() {
    let model = |edits: Value| of_type("smollm3", edits).unwrap().model;
    assert_eq!(model(json!({ "num_hidden_layers": 9 })).unturned_layers, [3, 7]);
    assert_eq!(model(json!({ "num_hidden_layers": 4, "no_rope_layer_interval": 2 })).unturned_layers, [1, 3]);
    assert_eq!(model(json!({ "no_rope_layers": [0, 1], "no_rope_layer_interval": 2 })).unturned_layers, [0]);
    let windowed = json!({ "no_rope_layers": [0, 1], "use_sliding_window": true, "sliding_window": 8 });
    let windowed = model(windowed);
    assert_eq!((windowed.window(0), windowed.window(1)), (Some(8), None));
    assert!(windowed.inv_frequencies(0).is_empty() && windowed.inv_frequencies(1).len() == 8);
    assert!(model(json!({ "tie_word_embeddings": null })).tied_embeddings, "the class's own default");
    assert!(with(json!({ "no_rope_layers": null })).unwrap().model.unturned_layers.is_empty());
}

/// Multipliers become scales of what is there.
#[test]
fn multipliers_are_folded() {
    let granite = of_type(
        "granite",
        json!({
            "embedding_multiplier": 12, "residual_multiplier": 0.5, "attention_multiplier": 0.0625, "logits_scaling": 8,
            "rms_norm_eps": 1e-5,
        }),
    )
    .unwrap();
    assert_eq!((granite.model.embedding_scale, granite.final_norm_scale), (24.0, 0.125));
    assert_eq!((granite.rms_norm_eps, granite.model.rope.scale), (4e-5, 0.5));
    let plain = of_type("granite", json!({})).unwrap();
    assert_eq!(
        (plain.model.embedding_scale, plain.model.rope.scale),
        (1.0, 2.0),
        "scores are divided by nothing"
    );
    assert_eq!(with(json!({})).unwrap().model.rope.scale, 1.0);
}

#[test]
fn accepted_spellings() {
    assert_eq!(without("num_key_value_heads").unwrap().model.kv_heads, 4);
    assert_eq!(with(json!({ "num_key_value_heads": null })).unwrap().model.kv_heads, 4);
    assert_eq!(with(json!({ "head_dim": 8 })).unwrap().model.head_dim, 8);
    assert_eq!(without("rope_theta").unwrap().rope.theta, 10_000.0);
    let five =
        json!({ "rope_theta": null, "rope_parameters": { "rope_type": "default", "rope_theta": 5e5 } });
    assert_eq!(with(five).unwrap().rope.theta, 5e5);
    let bare = json!({ "rope_theta": null, "rope_parameters": { "rope_theta": 5e5 } });
    assert_eq!(with(bare).unwrap().rope.scaling, RopeScaling::Default);
    let ends = with(json!({ "bos_token_id": null, "eos_token_id": [2, 7, 2] })).unwrap().model;
    assert_eq!((ends.bos_token_id, ends.eos_token_ids), (None, vec![2, 7]));
    let windowed = json!({ "sliding_window": 32, "layer_types": ["sliding_attention", "sliding_attention"] });
    assert_eq!(mistral(windowed).unwrap().model.sliding_window, Some(32));
    assert_eq!(mistral(json!({ "sliding_window": null })).unwrap().model.sliding_window, None);
    assert_eq!(
        with(json!({ "dtype": "float16", "torch_dtype": "float16" })).unwrap().dtype,
        Some(ElementType::F16)
    );
    assert!(with(json!({ "attention_bias": true, "mlp_bias": true })).unwrap().mlp_bias);
    with(json!({ "pretraining_tp": 2, "use_cache": false, "_name_or_path": "x" })).unwrap();
    assert_eq!(with(json!({ "hidden_act": "swish", "rope_scalling": null })).unwrap().warnings, []);
    for spelling in ["torch.float16", "half", "fp16"] {
        assert_eq!(with(json!({ "torch_dtype": spelling })).unwrap().dtype, Some(ElementType::F16));
    }
    assert_eq!(with(json!({ "torch_dtype": "auto" })).unwrap().dtype, None);
    assert_eq!(
        with(json!({ "dtype": "float32" })).unwrap().dtype,
        Some(ElementType::F32),
        "before torch_dtype"
    );
}

/// What `AutoModelForCausalLM` goes by is the model type; the classes beside it may be others, or none.
#[test]
fn the_model_type_decides() {
    for classes in [json!(null), json!([]), json!(["LlamaModel"]), json!(["LlamaForCausalLM", "LlamaModel"])]
    {
        assert!(with(json!({ "architectures": classes })).is_ok(), "{classes}");
    }
    assert!(without("architectures").is_ok() && without("model_type").is_ok());
    let first = json!({ "architectures": ["LLaMAForCausalLM"], "model_type": null });
    assert_eq!(with(first).unwrap().model.architecture, Architecture::LlamaForCausalLM);
}

/// Every default of transformers' `PretrainedConfig`, as version 4 writes them with `to_dict`.
#[test]
fn a_full_dump_of_the_defaults_is_accepted() {
    let dump = serde_json::from_str(
        r#"{
        "return_dict": true, "output_hidden_states": false, "output_attentions": false, "torchscript": false,
        "use_bfloat16": false, "tf_legacy_loss": false, "pruned_heads": {}, "chunk_size_feed_forward": 0,
        "is_encoder_decoder": false, "is_decoder": false, "cross_attention_hidden_size": null,
        "add_cross_attention": false, "tie_encoder_decoder": false, "max_length": 20, "min_length": 0,
        "do_sample": false, "early_stopping": false, "num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0.0,
        "temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0, "repetition_penalty": 1.0,
        "length_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "bad_words_ids": null,
        "num_return_sequences": 1, "output_scores": false, "return_dict_in_generate": false,
        "forced_bos_token_id": null, "forced_eos_token_id": null, "remove_invalid_values": false,
        "exponential_decay_length_penalty": null, "suppress_tokens": null, "begin_suppress_tokens": null,
        "finetuning_task": null, "id2label": { "0": "LABEL_0" }, "label2id": { "LABEL_0": 0 },
        "tokenizer_class": null, "prefix": null, "pad_token_id": null, "sep_token_id": null,
        "decoder_start_token_id": null, "task_specific_params": null, "problem_type": null,
        "_flash_attn_2_enabled": true, "attn_implementation": "sdpa", "gradient_checkpointing": false
    }"#,
    );
    assert_eq!(with(dump.unwrap()).unwrap().warnings, []);
}

/// What transformers passes over or assumes, samp does, too, and says so.
#[test]
fn what_is_assumed_or_passed_over_is_said() {
    let code = |config: Result<ModelConfig, samp_ir::Diagnostic>| {
        let warnings = config.unwrap().warnings;
        warnings.iter().map(|warning| warning.code).collect::<Vec<_>>()
    };
    assert_eq!(code(without("rms_norm_eps")), ["E0323"]);
    assert_eq!(without("max_position_embeddings").unwrap().max_position_embeddings, 2048);
    let windowless = mistral(json!({})).unwrap();
    assert_eq!((windowless.model.sliding_window, code(Ok(windowless))), (Some(4096), vec!["E0323"]));
    let window = with(json!({ "sliding_window": 128 })).unwrap();
    assert_eq!((window.model.sliding_window, code(Ok(window))), (None, vec!["E0324"]));
    let beyond = with(json!({ "eos_token_id": [2, 96, -1] })).unwrap();
    assert_eq!((beyond.model.eos_token_ids.clone(), code(Ok(beyond))), (vec![2], vec!["E0324", "E0324"]));
    assert_eq!(code(with(json!({ "auto_map": { "AutoModel": "modeling.Model" } }))), ["E0325"]);
    let twice = with(json!({ "rope_parameters": { "rope_theta": 5e5 } })).unwrap();
    assert_eq!((twice.rope.theta, code(Ok(twice))), (5e5, vec!["E0324"]));
    let unused = json!({ "rope_scaling": { "type": "linear", "factor": 2, "beta_fast": 1 } });
    assert_eq!(code(with(unused)), ["E0324"]);
    let beside = json!({ "rope_scaling": { "rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 32 } });
    let dynamic = with(beside).unwrap();
    assert_eq!(
        (dynamic.rope.scaling.clone(), code(Ok(dynamic))),
        (RopeScaling::Dynamic { factor: 2.0 }, vec![])
    );
}

#[test]
fn refused_values() {
    let llama3 = |edit: Value| {
        let mut scaling = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 128,
        });
        for (key, value) in edit.as_object().unwrap() {
            scaling[key] = value.clone();
        }
        with(json!({ "rope_scaling": scaling }))
    };
    let cases = [
        ("unknown architecture", with(json!({ "architectures": ["FalconForCausalLM"] }))),
        (
            "mixture of experts",
            with(json!({ "model_type": "mixtral", "architectures": ["MixtralForCausalLM"] })),
        ),
        ("Gemma", with(json!({ "model_type": "gemma3_text", "architectures": null }))),
        ("Llama 4", with(json!({ "model_type": null, "architectures": ["Llama4ForCausalLM"] }))),
        ("classes that are no list", with(json!({ "architectures": "LlamaForCausalLM" }))),
        ("model_type of another", with(json!({ "model_type": "mistral" }))),
        ("quantized checkpoint", with(json!({ "quantization_config": { "quant_method": "gptq" } }))),
        ("other activation", with(json!({ "hidden_act": "gelu" }))),
        ("pruned heads", with(json!({ "pruned_heads": { "0": [1] } }))),
        ("partial rotary", with(json!({ "partial_rotary_factor": 0.5 }))),
        ("zero", with(json!({ "num_hidden_layers": 0 }))),
        ("absurd", with(json!({ "hidden_size": 18446744073709551615u64 }))),
        ("negative", with(json!({ "vocab_size": -1 }))),
        ("fraction", with(json!({ "intermediate_size": 128.5 }))),
        ("string", with(json!({ "num_attention_heads": "4" }))),
        ("number for a flag", with(json!({ "tie_word_embeddings": 1 }))),
        ("heads that do not divide", with(json!({ "num_key_value_heads": 3 }))),
        ("more key/value heads than heads", with(json!({ "num_key_value_heads": 8 }))),
        ("width that heads do not divide", with(json!({ "num_attention_heads": 6 }))),
        ("odd head_dim", with(json!({ "head_dim": 15 }))),
        ("odd quotient", with(json!({ "hidden_size": 60 }))),
        ("zero eps", with(json!({ "rms_norm_eps": 0 }))),
        ("negative theta", with(json!({ "rope_theta": -1.0 }))),
        ("YaRN without factor", with(json!({ "rope_scaling": { "type": "yarn" } }))),
        (
            "YaRN of a base of 1",
            with(json!({ "rope_theta": 1, "rope_scaling": { "type": "yarn", "factor": 4.0 } })),
        ),
        ("scaling of no kind", with(json!({ "rope_scaling": { "type": "ntk" } }))),
        (
            "linear scaling of Phi-3",
            of_type("phi3", json!({ "rope_scaling": { "type": "linear", "factor": 2 } })),
        ),
        (
            "LongRoPE of other heads",
            with(
                json!({ "rope_scaling": { "type": "longrope", "short_factor": [1, 1], "long_factor": [1, 1] } }),
            ),
        ),
        (
            "LongRoPE of a zero",
            with(json!({ "rope_scaling": {
                "type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1, 1, 0], "long_factor": [1, 1, 1, 1, 1, 1, 1, 1],
            } })),
        ),
        ("more of a head than there is", of_type("phi3", json!({ "partial_rotary_factor": 1.5 }))),
        ("layers turned by halves", of_type("smollm3", json!({ "no_rope_layers": [1, 0.5] }))),
        ("fewer layers turned than there are", of_type("smollm3", json!({ "no_rope_layers": [1] }))),
        ("residual additions of nothing", of_type("granite", json!({ "residual_multiplier": 0 }))),
        ("scaling without factor", with(json!({ "rope_scaling": { "type": "linear" } }))),
        (
            "scaling with a stray key",
            with(json!({ "rope_scaling": { "type": "linear", "factor": 2, "betas": 1 } })),
        ),
        (
            "two names that differ",
            with(json!({ "rope_scaling": { "type": "linear", "rope_type": "dynamic", "factor": 2 } })),
        ),
        ("shrinking factor", llama3(json!({ "factor": 0.5 }))),
        ("llama3 with factors swapped", llama3(json!({ "low_freq_factor": 4.0, "high_freq_factor": 1.0 }))),
        (
            "dynamic with a single pair",
            with(json!({ "head_dim": 2, "rope_scaling": { "type": "dynamic", "factor": 2 } })),
        ),
        (
            "mixed layer types",
            mistral(json!({
                "sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"],
            })),
        ),
        (
            "types of fewer layers",
            of_type("qwen2", json!({ "use_sliding_window": true, "layer_types": ["full_attention"] })),
        ),
        (
            "windows that are not asked for",
            of_type("qwen2", json!({ "layer_types": ["full_attention", "sliding_attention"] })),
        ),
        ("biases in Mistral", mistral(json!({ "sliding_window": null, "attention_bias": true }))),
        ("end of text in words", with(json!({ "eos_token_id": "</s>" }))),
        ("several first tokens", with(json!({ "bos_token_id": [1] }))),
        ("8-bit weights", with(json!({ "torch_dtype": "float8_e4m3fn" }))),
        ("unknown keys", with(json!({ "rope_scalling": null, "logit_softcap": 30.0 }))),
    ];
    assert_case("bad_config_values", &report(cases.map(|(name, outcome)| (name, outcome.map(drop)))));
}

#[test]
fn refused_texts() {
    let parse = |text: &str| parse_config(text.as_bytes(), "config.json").map(drop);
    let required =
        ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"];
    let mut cases: Vec<(&str, Result<(), samp_ir::Diagnostic>)> =
        required.iter().map(|key| (*key, without(key).map(drop))).collect();
    cases.push((
        "neither type nor classes",
        with(json!({ "architectures": null, "model_type": null })).map(drop),
    ));
    cases.push(("nothing", parse("")));
    cases.push(("a list", parse("[]")));
    cases.push(("cut short", parse("{\"hidden_size\": 64,")));
    cases.push(("a key twice", parse("{\"hidden_size\": 64, \"hidden_size\": 32}")));
    cases.push(("a key twice, nested", parse("{\"rope_scaling\": {\"factor\": 2, \"factor\": 4}}")));
    cases.push(("NaN", parse("{\"rms_norm_eps\": NaN}")));
    cases.push(("an infinite number", parse("{\"rms_norm_eps\": 1e999}")));
    cases.push(("no UTF-8", parse_config(b"{\"\xff\": 1}", "config.json").map(drop)));
    let deep = "[".repeat(100_000);
    cases.push(("deep nesting", parse(&deep)));
    cases.push(("a megabyte", parse(&" ".repeat((1 << 20) + 1))));
    assert_case("bad_config_texts", &report(cases));
}

#[test]
fn contexts_beyond_the_trained_one_warn() {
    let mut plain = with(json!({})).unwrap();
    let frequencies = plain.model.rope.clone();
    assert_eq!(plain.set_context(256), None);
    let plain_warning = plain.set_context(1024).unwrap();
    assert_eq!(plain.model.rope, frequencies);
    let mut dynamic = with(json!({ "rope_scaling": { "type": "dynamic", "factor": 2.0 } })).unwrap();
    assert_eq!(dynamic.model.rope, frequencies);
    let dynamic_warning = dynamic.set_context(1024).unwrap();
    assert_ne!(dynamic.model.rope, frequencies);
    assert_eq!(dynamic.set_context(256), None);
    assert_eq!(dynamic.model.rope, frequencies);
    let cases = [("plain", Err(plain_warning)), ("dynamic", Err(dynamic_warning))];
    assert_case("long_contexts", &report(cases));
}
