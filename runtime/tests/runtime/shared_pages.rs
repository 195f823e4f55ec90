//! Sequences that begin alike share pages, and compute the same bits as if they did not.

use samp_runtime::{Chunk, DeviceKind, Engine, EngineError, Outputs, SequenceId};

use crate::{
    engine::{alone, text},
    support::{KV_FP8, Recipe, SAMP, TinyPlan, VOCAB, make},
};

/// The logits after each of `tokens` from `from` on.
fn appended(engine: &mut Engine, id: SequenceId, tokens: &[u32], from: usize) -> Vec<f32> {
    engine.append_tokens(id, &tokens[from..], Outputs::All).unwrap().as_slice().to_vec()
}

fn page_tokens(plan: &TinyPlan) -> usize {
    plan.manifest().kv.page_tokens as usize
}

#[test]
fn a_warm_beginning_does_not_change_a_bit() {
    for (name, recipe) in [
        ("samp", SAMP),
        ("fp8 cache, bias", Recipe { kv: KV_FP8, bias: true, ..SAMP }),
        ("window", Recipe { window: Some(5), ..SAMP }),
    ] {
        let plan = make(recipe);
        let mut engine = plan.engine(DeviceKind::Cpu, None);
        let page = page_tokens(&plan);
        let tokens = text(2 * page + 3, 4);
        let cold = alone(&mut engine, &tokens);
        let (first, none) = engine.create_cached(&tokens, b"").unwrap();
        assert_eq!(none, 0, "{name}: nobody computed it where others could find it");
        assert_eq!(appended(&mut engine, first, &tokens, 0), cold, "{name}");
        for alive in [true, false] {
            let found = engine.cached_prefix(&tokens, b"");
            assert_eq!((found.positions, found.idle_pages), (2 * page, if alive { 0 } else { 2 }), "{name}");
            let (warm, cached) = engine.create_cached(&tokens, b"").unwrap();
            assert_eq!((cached, engine.len(warm).unwrap()), (2 * page, 2 * page), "{name}");
            let rows = appended(&mut engine, warm, &tokens, cached);
            assert_eq!(rows, cold[cached * VOCAB as usize..], "{name}");
            engine.release(warm);
            engine.release(first);
        }
        assert_eq!(engine.kv_usage().used_pages, 0);
    }
}

#[test]
fn only_whole_pages_of_the_same_beginning_and_salt_are_shared() {
    let plan = make(SAMP);
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let page = page_tokens(&plan);
    let tokens = text(2 * page, 4);
    let (first, _) = engine.create_cached(&tokens, b"a").unwrap();
    appended(&mut engine, first, &tokens, 0);
    let positions = |tokens: &[u32], salt: &[u8]| engine.cached_prefix(tokens, salt).positions;
    assert_eq!(positions(&tokens, b"a"), page, "the logits of the last token are not kept");
    assert_eq!(positions(&tokens, b"b"), 0);
    assert_eq!(positions(&text(2 * page, 5), b"a"), 0);
    let mut other = tokens.clone();
    other[page] ^= 1;
    other.extend([1, 2]);
    assert_eq!(positions(&other, b"a"), page);
}

/// A page that two sequences hold is written by neither.
#[test]
fn shared_pages_are_not_cut() {
    let plan = make(SAMP);
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let page = page_tokens(&plan);
    let tokens = text(2 * page + 1, 4);
    let cold = alone(&mut engine, &tokens);
    let (first, _) = engine.create_cached(&tokens, b"").unwrap();
    appended(&mut engine, first, &tokens, 0);
    let (second, cached) = engine.create_cached(&tokens, b"").unwrap();
    let refused = engine.truncate(second, page + 1);
    assert!(matches!(refused, Err(EngineError::SharedPage { .. })), "{refused:?}");
    assert_eq!(engine.len(second).unwrap(), cached);
    engine.truncate(second, page).unwrap();
    assert_eq!(appended(&mut engine, second, &tokens, page), cold[page * VOCAB as usize..]);
    engine.release(second);
    // Alone again the first may go back, and what it then writes is not taken for what was there.
    engine.truncate(first, page + 1).unwrap();
    assert_eq!(engine.cached_prefix(&tokens, b"").positions, page);
    let chunk = Chunk { sequence: first, tokens: &[9; 3], outputs: Outputs::None };
    engine.step(&[chunk]).unwrap();
    let (third, cached) = engine.create_cached(&tokens, b"").unwrap();
    assert_eq!(appended(&mut engine, third, &tokens, cached), cold[cached * VOCAB as usize..]);
}

/// What is kept makes room, the end of a text before its beginning.
#[test]
fn kept_pages_make_room() {
    let plan = make(SAMP);
    let page = page_tokens(&plan);
    let mut engine = plan.engine(DeviceKind::Cpu, Some(4 * page as u64));
    let (one, two) = (text(3 * page, 1), text(3 * page, 2));
    for tokens in [&one, &two] {
        let (id, _) = engine.create_cached(tokens, b"").unwrap();
        appended(&mut engine, id, tokens, 0);
        engine.release(id);
        let usage = engine.kv_usage();
        assert_eq!((usage.used_pages, usage.total_pages), (0, 4));
    }
    assert_eq!(engine.cached_prefix(&one, b"").positions, page, "one page of it is left");
    assert_eq!(engine.cached_prefix(&two, b"").positions, 2 * page);
}
