//! `config.json`: refused in words, or a model whose numbers hold and whose graph can be built.
#![no_main]

#[path = "../entry.rs"]
mod entry;

use libfuzzer_sys::fuzz_target;
use samp_compiler::import::parse_config;
use samp_ir::{Context, Severity};

/// Graphs of more layers show nothing new and take long.
const MAX_LAYERS: u64 = 2;

fuzz_target!(|data: &[u8]| {
    match parse_config(data, "config.json") {
        Ok(mut config) => {
            drop(config.set_context(1 << 30));
            let model = &config.model;
            let frequencies = &model.rope.inv_frequencies;
            assert_eq!(frequencies.len() as u64 * 2, model.rope.rotary_dim.unwrap_or(model.head_dim));
            assert!(model.rope.scale.is_finite() && model.embedding_scale.is_finite());
            assert!(frequencies.iter().all(|f| f.is_finite() && *f >= 0.0), "{frequencies:?}");
            assert!(model.heads.is_multiple_of(model.kv_heads));
            if model.layers <= MAX_LAYERS {
                drop(config.build_graph(&Context::new()));
            }
        }
        Err(finding) => {
            assert_eq!(finding.severity, Severity::Error);
            assert!(finding.location.file.is_some());
        }
    }
});
