//! Manifests with random changes.

use std::sync::Arc;

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};
use samp_abi::plan::Plan;
use samp_runtime::{DeviceKind, Engine, EngineOptions, Outputs, open};
use serde_json::Value;

use crate::support::{SAMP, make, write_manifest};

/// Whatever a manifest says, it is refused in words, or the plan runs: nothing panics in between.
#[test]
fn any_manifest_is_refused_or_runs() {
    let plan = make(SAMP);
    let sound = serde_json::to_value(plan.manifest()).unwrap();
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (mut refused, mut ran) = (0, 0);
    for _ in 0..2500 {
        let mut value = sound.clone();
        for _ in 0..random.random_range(1..3) {
            mutate(&mut value, &mut random);
        }
        let Ok(changed) = serde_json::from_value::<Plan>(value) else { continue };
        write_manifest(plan.path(), &changed);
        match open(plan.path()) {
            Err(_) => refused += 1,
            Ok(open) => {
                ran += 1;
                let options =
                    EngineOptions { kv_tokens: Some(64), self_test: false, ..EngineOptions::default() };
                let Ok(mut engine) = Engine::new(Arc::new(open), DeviceKind::Cpu, options) else { continue };
                let id = engine.create().unwrap();
                let _ = engine.append_tokens(id, &[1, 2, 3, 4, 5], Outputs::Last);
            }
        }
    }
    println!("{refused} refused, {ran} ran");
    assert!(refused > 500 && ran > 20, "{refused} refused, {ran} ran");
}

/// Changes one thing somewhere in a JSON document.
fn mutate(value: &mut Value, random: &mut TestRng) {
    let inside = random.random_range(0..12) > 0;
    match value {
        Value::Object(map) if inside && !map.is_empty() => {
            let at = random.random_range(0..map.len());
            mutate(map.values_mut().nth(at).unwrap(), random);
        }
        Value::Array(list) if !list.is_empty() => {
            let (at, other) = (random.random_range(0..list.len()), random.random_range(0..list.len()));
            match random.random_range(0..24) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[other].clone()),
                2 => list.swap(at, other),
                3 => list[at] = list[other].clone(),
                _ => mutate(&mut list[at], random),
            }
        }
        Value::Number(number) => {
            let old = number.as_u64().unwrap_or(1);
            let numbers = [0, 1, 2, 15, 64, 1 << 31, 1 << 32, 1 << 53, u64::MAX];
            *value = match random.random_range(0..5) {
                0 => old.wrapping_add(1).into(),
                1 => old.wrapping_sub(1).into(),
                2 => old.wrapping_mul(2).into(),
                3 => random.random::<f64>().into(),
                _ => numbers[random.random_range(0..numbers.len())].into(),
            };
        }
        Value::String(text) => {
            let words =
                ["", "norm", "f16", "nf4", "rows16", "row_major", "tokens", "outputs", "../x", "embed"];
            *text = words[random.random_range(0..words.len())].into();
        }
        Value::Bool(flag) => *flag = !*flag,
        other => *other = 7.into(),
    }
}
