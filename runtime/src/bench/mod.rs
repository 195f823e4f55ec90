//! How fast a plan runs on this machine, beside what the machine can do at most.
//!
//! [`bench`] starts the plan with and without its files in memory, then reads a prompt, generates, and decodes several sequences
//! together, all of it several times in turns. Before each piece of work it measures, on the same threads, how fast
//! memory is read and how fast the units of the processor compute: what else the machine does then slows down both, and the
//! ratio of the two stands.
//!
//! Never: a kernel, or a decision by what was measured.

mod error;
mod machine;
mod processors;
mod report;
mod rounds;
mod runner;
mod spread;
mod start;
mod work;
mod workload;

pub use self::{
    error::BenchError,
    machine::{MachineReport, UnitReport},
    processors::ProcessorLoad,
    report::{BenchReport, DecodeReport, PromptReport},
    spread::Spread,
    start::{ColdStart, StartReport, StartTimes},
    workload::BenchOptions,
};
use self::{
    machine::MachineProbe,
    report::Measured,
    rounds::{Round, warm_up},
    runner::Runner,
    start::Starter,
    workload::Workload,
};
use crate::{
    device::DeviceKind,
    engine::{Engine, EngineOptions},
    plan::{OpenPlan, open},
    proc::{peak_resident, resident},
    progress::Progress,
};

/// Measures `plan`, which is closed first and opened anew. The CPU computes on the threads of the rayon pool that calls it.
///
/// # Errors
/// The plan takes fewer positions or sequences than were asked for, does not run here, or gives logits that are not finite.
pub fn bench(
    plan: OpenPlan,
    options: &BenchOptions,
    progress: &dyn Progress,
) -> Result<BenchReport, BenchError> {
    let manifest = plan.shared_manifest();
    let workload = Workload::new(&manifest, options)?;
    let device = match options.device {
        Some(device) => device,
        None => DeviceKind::for_target(manifest.target).map_err(crate::EngineError::from)?,
    };
    // The probe, which runs first, has a sequence of its own.
    let probe_tokens = plan.golden().map_or(0, |golden| golden.token_ids.len() as u64);
    let engine_options = EngineOptions {
        kv_tokens: Some(workload.kv_tokens(manifest.kv.page_tokens).max(probe_tokens)),
        gpu_memory_utilization: options.gpu_memory_utilization,
        ..EngineOptions::default()
    };
    let (dir, repeats) = (plan.dir().to_owned(), options.repeats.get());
    progress.begin("measuring", 1 + (repeats * (2 + workload.sequences.len())) as u64);
    let starter = Starter::new(&plan, &dir, device, engine_options)?;
    // Pages that someone maps stay in memory.
    drop(plan);
    let start = starter.measure(repeats)?;
    let _ = progress.advance("starting", 1);

    let mut runner = Runner::new(Engine::new(open(&dir)?.into(), device, engine_options)?);
    warm_up(&mut runner, &workload)?;
    let peak = peak_resident();
    let probe = device.is_host().then(MachineProbe::new).transpose().map_err(crate::EngineError::from)?;
    let round = |_| Round::measure(&mut runner, &workload, probe.as_ref(), progress);
    let rounds = (0..repeats).map(round).collect::<Result<Vec<Round>, _>>()?;
    let machine = probe.as_ref().and_then(|probe| rounds::machine(probe, &rounds, &manifest, &workload));
    drop(probe);
    // Positions that were first filled in the rounds count, the memory that was read to measure it does not.
    let peak_resident_bytes = peak.zip(resident()).map(|(peak, now)| peak.max(now));
    progress.end();
    let measured = Measured { device, rounds, machine, start, peak_resident_bytes };
    Ok(BenchReport::new(&manifest, &workload, measured))
}
