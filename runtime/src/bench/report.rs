//! What was measured of a plan.

use samp_abi::plan::Plan;
use serde::Serialize;

use super::{
    machine::MachineReport,
    processors::ProcessorLoad,
    rounds::{Round, Timed},
    spread::Spread,
    start::StartReport,
    work::{prompt_operations, weight_bytes},
    workload::Workload,
};
use crate::device::DeviceKind;

/// What a plan does on a machine, and what the machine can do at most.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BenchReport {
    /// The plan's digest, in hex.
    pub digest: String,
    /// Where it ran.
    pub device: &'static str,
    /// Threads of the CPU that compute.
    pub threads: usize,
    /// How often everything was measured.
    pub repeats: usize,
    /// Reading a prompt.
    pub prompt: PromptReport,
    /// Generating: steps of one sequence, each ended by choosing its likeliest token.
    pub generation: DecodeReport,
    /// Decoding several sequences together up to their logits, for each number of them.
    pub decode: Vec<DecodeReport>,
    /// What the machine can do; `null` where a GPU works.
    pub machine: Option<MachineReport>,
    /// From the plan's files to the first token.
    pub start: StartReport,
    /// The most memory that opening and running the plan had resident, in bytes; mapped weights count.
    pub peak_resident_bytes: Option<u64>,
    /// What else the processors did; `null` where the system does not say.
    pub load: Option<ProcessorLoad>,
}

/// How fast a prompt is read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PromptReport {
    /// Its tokens.
    pub tokens: usize,
    /// How many of them are read in a second.
    pub tokens_per_second: Spread,
    /// 10⁹ operations of linears and attention a second, a multiply–add counted as two.
    pub gflops: Spread,
    /// Processors that this process kept busy; `null` where it took too little time to tell.
    pub busy_processors: Option<Spread>,
}

/// How fast tokens are decoded.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DecodeReport {
    /// Sequences that are decoded together.
    pub sequences: usize,
    /// Steps, each of a token of each sequence. The first begins the sequences.
    pub steps: usize,
    /// Tokens of all sequences a second.
    pub tokens_per_second: Spread,
    /// Milliseconds of a step.
    pub step_ms: Spread,
    /// Bytes of weights that a step reads, each once; of the embedding, the tokens' rows.
    pub weight_bytes: u64,
    /// How fast it reads them, in 10⁹ bytes a second.
    pub weight_gb_per_second: Spread,
    /// That as a part of how fast memory is read; above 1 where caches hold weights, `null` where a GPU works.
    pub part_of_memory: Option<Spread>,
    /// Processors that this process kept busy; `null` where it took too little time to tell.
    pub busy_processors: Option<Spread>,
}

/// What was measured, before it is summed up.
pub(super) struct Measured {
    pub device: DeviceKind,
    pub rounds: Vec<Round>,
    pub machine: Option<MachineReport>,
    pub start: StartReport,
    pub peak_resident_bytes: Option<u64>,
}

impl BenchReport {
    /// Sums up what was measured of a plan.
    pub(super) fn new(plan: &Plan, workload: &Workload, measured: Measured) -> BenchReport {
        let Measured { device, rounds, machine, start, peak_resident_bytes } = measured;
        let timed = |of: &dyn Fn(&Round) -> &Timed| rounds.iter().map(of).collect::<Vec<&Timed>>();
        let decode = |(index, &sequences): (usize, &usize)| {
            decode_report(plan, sequences, workload.generate, &timed(&|round| &round.decode[index]))
        };
        BenchReport {
            digest: plan.digest.clone(),
            device: device.name(),
            threads: rayon::current_num_threads(),
            repeats: rounds.len(),
            prompt: prompt_report(plan, workload.prompt, &timed(&|round| &round.prompt)),
            generation: decode_report(plan, 1, workload.generate, &timed(&|round| &round.generation)),
            decode: workload.sequences.iter().enumerate().map(decode).collect(),
            machine,
            start,
            peak_resident_bytes,
            load: ProcessorLoad::of(&rounds.iter().map(|round| round.busy).collect::<Vec<_>>()),
        }
    }
}

fn prompt_report(plan: &Plan, tokens: usize, timed: &[&Timed]) -> PromptReport {
    let operations = prompt_operations(plan, tokens as u64);
    PromptReport {
        tokens,
        tokens_per_second: rates(timed, tokens as f64),
        gflops: rates(timed, operations / 1e9),
        busy_processors: busy(timed),
    }
}

fn decode_report(plan: &Plan, sequences: usize, steps: usize, timed: &[&Timed]) -> DecodeReport {
    let weight_bytes = weight_bytes(plan, sequences as u64);
    let bytes = steps as f64 * weight_bytes as f64;
    let part = |timed: &&Timed| Some(bytes / timed.lap.seconds / timed.machine.as_ref()?.memory);
    let step_ms = timed.iter().map(|timed| 1e3 * timed.lap.seconds / steps as f64);
    DecodeReport {
        sequences,
        steps,
        tokens_per_second: rates(timed, (sequences * steps) as f64),
        step_ms: Spread::of(step_ms).expect("there is a round"),
        weight_bytes,
        weight_gb_per_second: rates(timed, bytes / 1e9),
        part_of_memory: Spread::of_all(timed.iter().map(part)),
        busy_processors: busy(timed),
    }
}

/// What each time makes of an amount in a second.
fn rates(timed: &[&Timed], amount: f64) -> Spread {
    Spread::of(timed.iter().map(|timed| amount / timed.lap.seconds)).expect("there is a round")
}

fn busy(timed: &[&Timed]) -> Option<Spread> {
    Spread::of_all(timed.iter().map(|timed| Some(timed.lap.busy?.own)))
}
