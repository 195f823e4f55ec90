//! `quantization_config` inside a `config.json` that is sound otherwise: refused in words, or read.
#![no_main]

#[path = "../entry.rs"]
mod entry;

use libfuzzer_sys::fuzz_target;
use samp_compiler::import::parse_config;
use samp_ir::Severity;

/// All but the end.
const CONFIG: &[u8] = br#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 64,
"intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 96, "rms_norm_eps": 1e-5,
"max_position_embeddings": 256, "quantization_config": "#;

fuzz_target!(|data: &[u8]| {
    if let Err(finding) = parse_config(&[CONFIG, data, b"}"].concat(), "config.json") {
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.location.file.is_some());
    }
});
