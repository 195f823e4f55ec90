//! The golden probe: right devices pass it, and those that leave out a step or read a wrong scale do not.

use std::{path::Path, sync::Arc};

use samp_abi::{
    Component,
    plan::{Op, TensorId},
};
use samp_kernels::{
    encoded::EncodedRef,
    sample::{SampleRequest, SampledToken},
};
use samp_runtime::{
    Batch, Device, DeviceError, DeviceKind, Engine, EngineError, EngineOptions, Executable, Observer,
    OpenPlan, Replay, Weights, open,
};

use crate::{gpu::compiled, harness::Harness};

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    /// The step is left out.
    Step(usize),
    /// The first of a tensor's scales of this kind and the one that differs most from it change places.
    Scales(TensorId, Component, usize),
}

/// A plan's weights, of which one may have two scales the wrong way round.
struct Swapped {
    plan: Arc<OpenPlan>,
    tensor: Option<(TensorId, Component, Vec<u8>)>,
}

impl Swapped {
    fn new(plan: Arc<OpenPlan>, damage: Damage) -> Swapped {
        let Damage::Scales(id, component, width) = damage else { return Swapped { plan, tensor: None } };
        let mut bytes = plan.tensor(id).part(component).to_vec();
        let number = |at: usize| match bytes[at * width..][..width] {
            [code] => f32::from(code),
            [a, b] => half::f16::from_le_bytes([a, b]).to_f32(),
            [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
            _ => unreachable!("no scale has {width} bytes"),
        };
        let apart = |at: &usize| (number(*at) - number(0)).abs();
        let other = (0..bytes.len() / width).max_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap();
        (0..width).for_each(|byte| bytes.swap(byte, other * width + byte));
        Swapped { plan, tensor: Some((id, component, bytes)) }
    }
}

impl Weights for Swapped {
    fn tensor(&self, id: TensorId) -> EncodedRef<'_> {
        let mut view = self.plan.tensor(id);
        if let Some((tensor, component, bytes)) = &self.tensor
            && *tensor == id
        {
            view.set(*component, bytes);
        }
        view
    }
}

/// A device of the host with a fault.
struct Damaged {
    replay: Replay<Swapped>,
    left_out: Option<usize>,
}

impl Device for Damaged {
    fn step(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut [f32],
        _: Option<&mut dyn Observer>,
    ) -> Result<(), DeviceError> {
        let steps = self.replay.program().steps.len();
        (0..steps).filter(|step| Some(*step) != self.left_out).for_each(|step| {
            self.replay.run(step..step + 1, batch, None);
        });
        let id = self.replay.program().logits;
        logits.copy_from_slice(self.replay.buffer(id, batch));
        Ok(())
    }

    fn step_and_sample(
        &mut self,
        _: &Batch<'_>,
        _: &[SampleRequest],
        _: &mut [Option<SampledToken>],
    ) -> Result<(), DeviceError> {
        unreachable!("a probe samples nothing")
    }

    fn output_logits(&mut self, _: &Batch<'_>, _: usize, _: &mut [f32]) -> Result<(), DeviceError> {
        unreachable!("a probe takes all logits")
    }
}

/// Loads the plan on the host's `device` with a fault; whether its probe notices.
fn is_noticed(plan: &Arc<OpenPlan>, device: DeviceKind, damage: Damage) -> bool {
    let load = |plan: Arc<OpenPlan>, pages: u32| -> Result<Box<dyn Device>, DeviceError> {
        let executable = Executable::from_plan(&plan);
        let replay = Replay::new(device, executable, Swapped::new(plan, damage), pages)?;
        let left_out = if let Damage::Step(step) = damage { Some(step) } else { None };
        Ok(Box::new(Damaged { replay, left_out }))
    };
    let options = EngineOptions { kv_tokens: Some(64), ..EngineOptions::default() };
    match Engine::over(plan.clone(), load, options) {
        Ok(_) => false,
        Err(EngineError::Golden(_)) => true,
        Err(other) => panic!("{damage:?}: {other}"),
    }
}

/// Every fault of the kinds above that a plan may have.
fn faults(plan: &OpenPlan) -> Vec<(String, Damage)> {
    let manifest = plan.manifest();
    let mut faults = vec![];
    for (at, step) in manifest.program.steps.iter().enumerate() {
        faults.push((format!("{} left out", step.label), Damage::Step(at)));
        let Op::Linear { weight, .. } = step.op else { continue };
        for part in &manifest.tensors[weight.0 as usize].parts {
            let scales = [Component::Scales, Component::AbsmaxCodes, Component::AbsmaxScales];
            let count: u64 = part.shape.iter().product();
            if scales.contains(&part.component) && count > 1 {
                let width = (part.bytes / count) as usize;
                let what = format!("two {} of {} swapped", part.component.name(), step.label);
                faults.push((what, Damage::Scales(weight, part.component, width)));
            }
        }
    }
    faults
}

fn unnoticed(plan: &Path, device: DeviceKind) -> (usize, Vec<String>) {
    let plan = Arc::new(open(plan).unwrap());
    assert!(!is_noticed(&plan, device, Damage::None));
    let faults = faults(&plan);
    let count = faults.len();
    let missed = faults.into_iter().filter(|(_, damage)| !is_noticed(&plan, device, *damage));
    (count, missed.map(|(what, _)| what).collect())
}

/// Where results are kept in f16, rounding hides an exchange of two scales of single rows or blocks here and there; hashes are
/// there for bytes. Exact plans for CPUs hide nothing.
#[test]
fn a_step_left_out_or_a_swapped_scale_is_noticed() {
    let harness = Harness::new();
    for recipe in ["samp", "uniform:nf4", "uniform:fp8", "uniform:f16"] {
        let exact = harness.compile("exact", &["--force", "--exact", "--recipe", recipe]);
        let rounded = compiled(&harness, "h100", recipe);
        for (plan, device, most) in [(exact, DeviceKind::Cpu, 0.0), (rounded, DeviceKind::Reference, 0.15)] {
            let (count, missed) = unnoticed(&plan, device);
            println!("{recipe} on {device:?}: of {count} faults went unnoticed: {missed:#?}");
            assert!(missed.iter().all(|what| !what.ends_with("left out")), "{recipe}: {missed:#?}");
            assert!(missed.len() as f64 <= most * count as f64, "{recipe}: {missed:#?}");
        }
    }
}
