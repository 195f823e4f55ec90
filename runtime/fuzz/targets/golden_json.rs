//! `golden.json` of a whole plan directory, listed in the manifest with its own hash: refused in words, or the
//! engine compares its logits.
#![no_main]

#[allow(dead_code, reason = "the tests of the runtime use the rest")]
#[path = "../../tests/runtime/support.rs"]
mod support;

use std::{
    fs,
    sync::{LazyLock, Mutex},
};

use libfuzzer_sys::fuzz_target;
use samp_abi::plan::GOLDEN_FILE;
use samp_runtime::{DeviceKind, Engine, open};
use support::{SAMP, TinyPlan, hash, make};

static PLAN: LazyLock<TinyPlan> = LazyLock::new(|| make(SAMP));
/// The same for every probe, since the rest of the plan stays as it is.
static ENGINE: LazyLock<Mutex<Engine>> = LazyLock::new(|| PLAN.engine(DeviceKind::Cpu, Some(64)).into());

fuzz_target!(|data: &[u8]| {
    // The engine keeps the plan as it was before the first probe is written.
    let mut engine = ENGINE.lock().expect("a run that panicked was the last");
    fs::write(PLAN.path().join(GOLDEN_FILE), data).expect("a directory of its own can be written");
    PLAN.edit(|plan| {
        let file = plan.files.iter_mut().find(|f| f.path == GOLDEN_FILE).expect("the plan has a probe");
        (file.bytes, file.blake3) = (data.len() as u64, hash(data));
    });
    if let Ok(plan) = open(PLAN.path()) {
        drop(engine.self_test(plan.golden().expect("the manifest lists a probe")));
    }
});
