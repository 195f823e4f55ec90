//! A recipe's TOML: refused in words, or rules that any keys can be resolved by.
#![no_main]

#[path = "../entry.rs"]
mod entry;

use libfuzzer_sys::fuzz_target;
use samp_compiler::lower::recipe::parse_recipe;

fuzz_target!(|text: &str| {
    if let Ok(recipe) = parse_recipe(text, "recipe.toml") {
        drop(recipe.resolve(&["layers.0.self_attn.q_proj", "layers.10.mlp.up_proj", "lm_head"]));
    }
});
