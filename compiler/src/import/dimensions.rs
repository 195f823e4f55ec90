//! The dimensions of the model in `config.json`, each within its limit.

use samp_abi::plan::bounds::{MAX_COUNT, MAX_INDEX, MAX_WIDTH};
use samp_ir::Diagnostic;

use super::{family::Family, json::Object};

const MAX_HIDDEN: u64 = 1 << 17;
const MAX_INTERMEDIATE: u64 = 1 << 20;
const MAX_LAYERS: u64 = 1 << 10;
const MAX_HEADS: u64 = 1 << 10;
const MAX_HEAD_DIM: u64 = 1 << 10;
const MAX_VOCAB: u64 = 1 << 22;
/// Positions are 32-bit integers in the graph.
pub(super) const MAX_POSITIONS: u64 = 1 << 30;

/// What is imported makes plans that open.
const _: () = {
    assert!(MAX_HIDDEN <= MAX_WIDTH && MAX_INTERMEDIATE <= MAX_WIDTH);
    assert!(MAX_LAYERS <= MAX_COUNT && MAX_HEADS <= MAX_COUNT && MAX_HEAD_DIM <= MAX_COUNT);
    assert!(MAX_VOCAB <= MAX_INDEX && MAX_POSITIONS <= MAX_INDEX);
};

/// The sizes of the model, each within its limit and with the others.
pub(super) struct Dimensions {
    pub(super) hidden: u64,
    pub(super) intermediate: u64,
    pub(super) layers: u64,
    pub(super) heads: u64,
    pub(super) kv_heads: u64,
    pub(super) head_dim: u64,
    pub(super) vocab: u64,
}

pub(super) fn dimensions(keys: &mut Object<'_>, family: &Family) -> Result<Dimensions, Diagnostic> {
    let hidden = required(keys, "hidden_size", MAX_HIDDEN)?;
    let heads = required(keys, "num_attention_heads", MAX_HEADS)?;
    Ok(Dimensions {
        hidden,
        intermediate: required(keys, "intermediate_size", MAX_INTERMEDIATE)?,
        layers: required(keys, "num_hidden_layers", MAX_LAYERS)?,
        heads,
        kv_heads: kv_heads(keys, heads, family)?,
        head_dim: head_dim(keys, hidden, heads, family)?,
        vocab: required(keys, "vocab_size", MAX_VOCAB)?,
    })
}

/// An integer from 1 to `max` that must be there.
pub(super) fn required(keys: &mut Object<'_>, key: &str, max: u64) -> Result<u64, Diagnostic> {
    keys.integer(key, 1..=max)?.ok_or_else(|| keys.missing(key, &format!("an integer from 1 to {max}")))
}

/// The class's own default where the key is absent, as many as heads where it is null.
fn kv_heads(keys: &mut Object<'_>, heads: u64, family: &Family) -> Result<u64, Diagnostic> {
    const KEY: &str = "num_key_value_heads";
    let absent = keys.peek(KEY).is_none();
    let default = family.kv_heads.filter(|_| absent).unwrap_or(heads);
    let kv_heads = keys.integer(KEY, 1..=heads)?.unwrap_or(default);
    if !heads.is_multiple_of(kv_heads) {
        let expected = format!("a divisor of num_attention_heads = {heads}");
        return Err(keys.wrong(KEY, &expected, &kv_heads.into()));
    }
    Ok(kv_heads)
}

/// The class's own default where the key is absent, what heads share out where it is null.
fn head_dim(keys: &mut Object<'_>, hidden: u64, heads: u64, family: &Family) -> Result<u64, Diagnostic> {
    let default = family.head_dim.filter(|_| keys.peek("head_dim").is_none());
    let even = "an even number, because rotary pairs are two channels each";
    if let Some(head_dim) = keys.integer("head_dim", 2..=MAX_HEAD_DIM)?.or(default) {
        return if head_dim.is_multiple_of(2) {
            Ok(head_dim)
        } else {
            Err(keys.wrong("head_dim", even, &head_dim.into()))
        };
    }
    if !hidden.is_multiple_of(heads) {
        let expected = format!("a multiple of num_attention_heads = {heads}, or an explicit head_dim");
        return Err(keys.wrong("hidden_size", &expected, &hidden.into()));
    }
    match hidden / heads {
        dim if !dim.is_multiple_of(2) => {
            let expected = format!("{heads} heads (num_attention_heads) of {even}");
            Err(keys.wrong("hidden_size", &expected, &hidden.into()))
        }
        dim if dim > MAX_HEAD_DIM => {
            let expected = format!("{heads} heads (num_attention_heads) of at most {MAX_HEAD_DIM} channels");
            Err(keys.wrong("hidden_size", &expected, &hidden.into()))
        }
        dim => Ok(dim),
    }
}
