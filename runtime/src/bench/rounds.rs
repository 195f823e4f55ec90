//! Rounds over all work, each piece with what the machine could do just before.

use samp_abi::plan::Plan;

use super::{
    error::BenchError,
    machine::{MachineProbe, MachineRates, MachineReport},
    processors::BusyProcessors,
    runner::{Lap, Runner},
    work::prompt_operations,
    workload::Workload,
};
use crate::{proc::ProcessorTicks, progress::Progress};

/// A piece of work that was timed.
pub(super) struct Timed {
    pub lap: Lap,
    /// What the machine could do just before, where it is the host that works.
    pub machine: Option<MachineRates>,
}

/// All work once.
pub(super) struct Round {
    pub prompt: Timed,
    pub generation: Timed,
    /// For each number of sequences.
    pub decode: Vec<Timed>,
    /// Whose the processors were in this round.
    pub busy: Option<BusyProcessors>,
}

/// Does all work once, one step of what is done in many: pages are touched, and kernels loaded.
pub(super) fn warm_up(runner: &mut Runner, workload: &Workload) -> Result<(), BenchError> {
    runner.prompt(workload.prompt)?;
    runner.generate(1)?;
    workload.sequences.iter().try_for_each(|&sequences| runner.decode(sequences, 1).map(drop))
}

impl Round {
    pub(super) fn measure(
        runner: &mut Runner,
        workload: &Workload,
        probe: Option<&MachineProbe>,
        progress: &dyn Progress,
    ) -> Result<Round, BenchError> {
        let before = ProcessorTicks::now();
        let mut timed = |name: &str, run: &mut dyn FnMut(&mut Runner) -> Result<Lap, BenchError>| {
            let machine = probe.map(MachineProbe::measure);
            let lap = run(runner)?;
            let _ = progress.advance(name, 1);
            Ok::<_, BenchError>(Timed { lap, machine })
        };
        let prompt = timed("reading the prompt", &mut |runner| runner.prompt(workload.prompt))?;
        let generation = timed("generating", &mut |runner| runner.generate(workload.generate))?;
        let decode = workload
            .sequences
            .iter()
            .map(|&count| timed("decoding", &mut |runner| runner.decode(count, workload.generate)))
            .collect::<Result<_, _>>()?;
        let ticks = before.zip(ProcessorTicks::now());
        let busy = ticks.and_then(|(before, after)| BusyProcessors::between(before, after));
        Ok(Round { prompt, generation, decode, busy })
    }

    /// Every piece of it.
    fn timed(&self) -> impl Iterator<Item = &Timed> {
        [&self.prompt, &self.generation].into_iter().chain(&self.decode)
    }
}

/// What the machine could do over all rounds, and what prompts made of it.
pub(super) fn machine(
    probe: &MachineProbe,
    rounds: &[Round],
    plan: &Plan,
    workload: &Workload,
) -> Option<MachineReport> {
    let all: Vec<&MachineRates> =
        rounds.iter().flat_map(Round::timed).filter_map(|timed| timed.machine.as_ref()).collect();
    let operations = prompt_operations(plan, workload.prompt as u64);
    let prompts: Vec<(f64, &MachineRates)> = rounds
        .iter()
        .filter_map(|round| Some((operations / round.prompt.lap.seconds, round.prompt.machine.as_ref()?)))
        .collect();
    MachineReport::new(probe, &all, &prompts)
}
