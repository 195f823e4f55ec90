//! `plan.json` of a whole plan directory. The bytes are the manifest, its digest 64 zeros; they are read as they
//! are, and sealed anew so that every check behind the digest is reached. Refused in words, or the plan runs.
#![no_main]

#[allow(dead_code, reason = "the tests of the runtime use the rest")]
#[path = "../../tests/runtime/support.rs"]
mod support;

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use samp_abi::plan::{Plan, unseal};
use samp_runtime::{DeviceKind, Engine, EngineOptions, Outputs, open, validate_manifest};
use serde_json::Value;
use support::{SAMP, TinyPlan, make, write_manifest};

static PLAN: LazyLock<TinyPlan> = LazyLock::new(|| make(SAMP));
static SOUND: LazyLock<Value> = LazyLock::new(|| {
    let sound = Plan { digest: zeros(b""), ..PLAN.manifest() };
    serde_json::to_value(sound).expect("a plan is JSON")
});

/// The hash that a manifest under test bears, whatever it says.
fn zeros(_: &[u8]) -> String {
    "0".repeat(64)
}

fuzz_target!(|data: &[u8]| {
    let Ok(plan) = unseal(data, zeros) else { return };
    write_manifest(PLAN.path(), &plan);
    let faults = validate_manifest(&plan);
    if let Ok(whole) = open(PLAN.path()) {
        assert!(faults.is_empty(), "open accepts what validate_manifest refuses: {faults:?}");
        run(whole);
    }
});

/// A few tokens through the engine, unless this machine lacks the memory that the plan asks for.
fn run(plan: samp_runtime::OpenPlan) {
    let options = EngineOptions { kv_tokens: Some(64), self_test: false, ..EngineOptions::default() };
    let Ok(mut engine) = Engine::new(Arc::new(plan), DeviceKind::Cpu, options) else { return };
    let id = engine.create().expect("a plan takes at least one sequence");
    drop(engine.append_tokens(id, &[1, 2, 3, 4, 5], Outputs::Last));
}

// Random bytes seldom stay JSON, so one value of the document is changed at a time.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut document = serde_json::from_slice(&data[..size]).unwrap_or_else(|_| SOUND.clone());
    change(&mut document, &mut Choices(seed.into()));
    // The seed is indented, so that a compact document may grow within its size.
    let text = serde_json::to_vec(&document).expect("a value is JSON");
    if text.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..text.len()].copy_from_slice(&text);
    text.len()
});

/// Changes one value somewhere in `value`.
fn change(value: &mut Value, choices: &mut Choices) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let at = choices.below(fields.len());
            change(fields.values_mut().nth(at).expect("an index below the length"), choices);
        }
        Value::Array(items) if !items.is_empty() => {
            let (at, other) = (choices.below(items.len()), choices.below(items.len()));
            match choices.below(16) {
                0 => drop(items.remove(at)),
                1 => items.insert(at, items[other].clone()),
                2 => items.swap(at, other),
                3 => items[at] = items[other].clone(),
                _ => change(&mut items[at], choices),
            }
        }
        leaf => change_leaf(leaf),
    }
}

/// Lets libFuzzer change the text of a value, which knows integers and what was compared before.
fn change_leaf(leaf: &mut Value) {
    let (is_text, text) = match &*leaf {
        Value::String(text) => (true, text.clone()),
        other => (false, other.to_string()),
    };
    let (length, max_length) = (text.len(), text.len() + 32);
    let mut bytes = text.into_bytes();
    bytes.resize(max_length, 0);
    let length = fuzzer_mutate(&mut bytes, length, max_length);
    let text = String::from_utf8_lossy(&bytes[..length]);
    *leaf = match serde_json::from_str(&text) {
        Ok(value) if !is_text => value,
        _ => text.into(),
    };
}

/// A linear congruential generator (Knuth).
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
