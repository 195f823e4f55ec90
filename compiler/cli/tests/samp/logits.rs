//! Logits against transformers, and against themselves however a sequence is cut into steps.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use safetensors::SafeTensors;
use samp_emulator::{Build, Options};
use samp_runtime::{
    Device, DeviceError, DeviceKind, Engine, EngineOptions, OpenPlan, Outputs, Progress,
    device::gpu::{Emulated, GpuDevice, StoredPlan},
    open,
};

use crate::harness::{CACHE, Harness, ok, samp, tiny_llama};

/// Ids and logits of a checkpoint's reference, from transformers in f32.
pub struct Reference {
    pub ids: Vec<Vec<u32>>,
    pub logits: Vec<f32>,
}

pub fn reference(model: &Path) -> Reference {
    Reference::read(&model.join("reference.safetensors"))
}

impl Reference {
    pub fn read(file: &Path) -> Reference {
        let bytes = std::fs::read(file).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let ids = file.tensor("input_ids").unwrap();
        let id = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap()) as u32;
        let row = |row: &[u8]| row.chunks_exact(8).map(id).collect();
        Reference {
            ids: ids.data().chunks_exact(8 * ids.shape()[1]).map(row).collect(),
            logits: floats(file.tensor("logits").unwrap().data()),
        }
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

pub fn argmax(row: &[f32]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
}

/// `samp eval --ids --save-logits` over the ids of a checkpoint's reference, read back.
pub fn saved_logits(harness: &Harness, plan: &Path, device: &str, model: &Path) -> Vec<f32> {
    let out = harness.path("logits.safetensors");
    let mut command = samp(["eval", "--device", device, "--ids"]);
    command.arg(model.join("reference.safetensors")).arg("--save-logits").arg(&out).arg(plan);
    ok(command);
    let saved = Reference::read(&out);
    assert_eq!(saved.ids, reference(model).ids);
    saved.logits
}

#[test]
fn sixteen_bit_plans_equal_transformers_on_both_devices() {
    let harness = Harness::new();
    let expected = reference(&tiny_llama()).logits;
    for recipe in ["uniform:f16", "uniform:bf16"] {
        let plan = harness.compile(recipe, &["--recipe", recipe]);
        for device in ["cpu", "reference"] {
            let found = saved_logits(&harness, &plan, device, &tiny_llama());
            let difference = largest_difference(&found, &expected);
            println!("{recipe} on {device}: largest difference {difference:.2e}");
            assert!(difference <= 2e-3, "{recipe} on {device}: {difference}");
            for (x, y) in found.chunks_exact(4096).zip(expected.chunks_exact(4096)) {
                assert_eq!(argmax(x), argmax(y), "{recipe} on {device}");
            }
        }
    }
}

#[test]
fn quantized_plans_give_the_same_logits_on_both_devices() {
    let harness = Harness::new();
    // Inputs of 15 bits and levels of nf4 in 12 are rounded in each linear, unless the plan is exact.
    for (exact, most) in [(&["--exact"][..], 1e-3), (&[], 1e-2)] {
        for recipe in ["samp", "uniform:nf4", "uniform:int8"] {
            let plan = harness.compile("plan", &[&["--force", "--recipe", recipe], exact].concat());
            let [cpu, plain] = ["cpu", "reference"].map(|d| saved_logits(&harness, &plan, d, &tiny_llama()));
            let difference = largest_difference(&cpu, &plain);
            println!("{recipe} {exact:?}: cpu and reference differ by {difference:.2e}");
            assert!(difference <= most, "{recipe} {exact:?}: {difference}");
        }
    }
}

#[test]
fn chunks_of_any_size_give_the_same_logits() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "samp"]);
    let ids = &reference(&tiny_llama()).ids[0];
    for device in [DeviceKind::Cpu, DeviceKind::Reference] {
        let whole = in_chunks(&plan, device, ids, &[ids.len()]);
        for sizes in [&[1][..], &[7], &[13, 1, 5], &[63, 1]] {
            let difference = largest_difference(&whole, &in_chunks(&plan, device, ids, sizes));
            println!("{device}, chunks of {sizes:?}: largest difference {difference:.2e}");
            assert!(difference <= 1e-4, "{device}, chunks of {sizes:?}: {difference}");
        }
    }
}

/// Counts the bytes of weights that a device has taken, and those that were announced.
#[derive(Default)]
struct Heard {
    announced: AtomicU64,
    taken: AtomicU64,
}

impl Progress for Heard {
    fn begin(&self, _stage: &str, units: u64) {
        self.announced.store(units, Ordering::Relaxed);
    }

    fn advance(&self, item: &str, units: u64) -> ControlFlow<()> {
        let before = self.taken.fetch_add(units, Ordering::Relaxed);
        let all = self.announced.load(Ordering::Relaxed);
        assert!(units > 0 && before + units <= all, "{item}: {units} after {before} of {all}");
        ControlFlow::Continue(())
    }
}

impl Heard {
    fn check(&self, total: u64) {
        let [announced, taken] = [&self.announced, &self.taken].map(|count| count.load(Ordering::Relaxed));
        assert_eq!([announced, taken], [total; 2], "all weights were heard of");
    }
}

/// An engine with a cache for so many positions, without its golden probe.
pub fn engine(plan: &Path, device: DeviceKind, kv_tokens: usize) -> Engine {
    let options =
        EngineOptions { kv_tokens: Some(kv_tokens as u64), self_test: false, ..EngineOptions::default() };
    let load = |plan: Arc<OpenPlan>, pages: u32| -> Result<Box<dyn Device>, DeviceError> {
        let total = plan.manifest().memory.weights_bytes;
        let heard = Heard::default();
        if device != DeviceKind::Emulate {
            return device.load(plan, pages, &heard);
        }
        let driver = Emulated::new(&Path::new(CACHE).join("emulated"), Build::Plain, Options::default());
        let device = GpuDevice::load(driver, &StoredPlan { plan: &plan, progress: &heard }, pages)?;
        heard.check(total);
        Ok(Box::new(device))
    };
    Engine::over(open(plan).unwrap().into(), load, options).unwrap()
}

/// Logits of every position, the sequence fed in chunks whose sizes repeat.
pub fn in_chunks(plan: &Path, device: DeviceKind, ids: &[u32], sizes: &[usize]) -> Vec<f32> {
    let mut engine = engine(plan, device, ids.len());
    let sequence = engine.create().unwrap();
    let (mut rest, mut logits) = (ids, vec![]);
    for &size in sizes.iter().cycle() {
        let (chunk, later) = rest.split_at(size.min(rest.len()));
        logits.extend_from_slice(engine.append_tokens(sequence, chunk, Outputs::All).unwrap().as_slice());
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    logits
}
