//! Plays warps of one path on one multiprocessor, clock by clock.
//!
//! Four schedulers issue one instruction a clock each. A warp issues in order, no sooner than its stall count and the scoreboards
//! of the instruction allow; each scheduler has its own pipes, and memory takes one wavefront a clock for all of them. What
//! copies bring in is always there: neither DRAM nor the caches behind it limit anything.

use crate::{
    flow::is_matrix,
    pipe::{Pipe, Timings, wavefronts},
    sass::{Instruction, SCOREBOARDS},
};

const SCHEDULERS: usize = 4;
/// Wavefronts that may wait in the queue to memory before schedulers stop issuing to it.
const MEMORY_QUEUE: u64 = 24;
/// Clocks until an instruction's operands are read, beyond its wait in a queue.
const READ_LATENCY: u64 = 10;
/// Rounds that each warp takes; the middle third is measured.
const ROUNDS: u64 = 24;
/// Registers that a warp can name.
const REGISTERS: usize = 256;
/// A warpgroup is four warps.
const WARPGROUP: usize = 4;
/// No loop of ours takes as long; a path that cannot go on ends here.
const MOST_CLOCKS: u64 = 1_000_000;

/// Warps on a multiprocessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residency {
    /// Blocks at a time.
    pub blocks: u32,
    /// Warps of a block that go around the loop.
    pub warps: u32,
}

/// An instruction with all that the simulation asks of it.
struct Step {
    pipe: Pipe,
    interval: u64,
    latency: u64,
    wavefronts: u64,
    stall: u64,
    write: Option<usize>,
    read: Option<usize>,
    waits: Vec<usize>,
    /// The registers that a matrix instruction writes and adds to, by the first of them.
    sums: Option<(usize, Option<usize>)>,
    sync: Option<Sync>,
    waits_for_wgmma: bool,
    is_wgmma: bool,
}

/// Who waits for one another.
#[derive(Clone, Copy, PartialEq)]
enum Sync {
    Block,
    Warpgroup,
}

impl Step {
    fn new(instruction: &Instruction, timings: &Timings) -> Step {
        let mnemonic = instruction.mnemonic();
        let sync = match mnemonic {
            "BAR" => Some(Sync::Block),
            "WARPGROUP" if instruction.has("ARRIVE") => Some(Sync::Warpgroup),
            _ => None,
        };
        Step {
            pipe: Pipe::of(instruction),
            interval: timings.interval(instruction),
            latency: timings.latency(instruction),
            wavefronts: wavefronts(instruction),
            stall: u64::from(instruction.control.stall).max(1),
            write: instruction.control.write,
            read: instruction.control.read,
            waits: instruction.control.waits().collect(),
            sums: (mnemonic == "HMMA").then(|| sums(&instruction.operands)).flatten(),
            sync,
            waits_for_wgmma: mnemonic == "WARPGROUP" && instruction.has("DEPBAR"),
            is_wgmma: is_matrix(instruction) && matches!(mnemonic, "HGMMA" | "QGMMA"),
        }
    }
}

/// The first register of an `mma`'s results, and of the sums it adds to; of zeros none.
fn sums(operands: &str) -> Option<(usize, Option<usize>)> {
    let register = |operand: &str| operand.trim().strip_prefix('R')?.split('.').next()?.parse::<usize>().ok();
    let mut all = operands.split(',');
    let result = register(all.next()?).filter(|&index| index < REGISTERS)?;
    Some((result, all.next_back().and_then(register).filter(|&index| index < REGISTERS)))
}

/// A warp on its way.
struct Warp {
    scheduler: usize,
    block: usize,
    at: usize,
    round: u64,
    ready: u64,
    /// When each scoreboard is free.
    scoreboards: [u64; SCOREBOARDS],
    /// When the sums in each register may be added to.
    sums: [u64; REGISTERS],
    wgmma_ready: u64,
    /// The group that it waits for, and how often that had met when it came.
    waiting: Option<(usize, u64)>,
}

/// Warps that meet: a block's, or a warpgroup's.
#[derive(Clone, Default)]
struct Meeting {
    size: usize,
    arrived: usize,
    met: u64,
}

struct Multiprocessor {
    warps: Vec<Warp>,
    pipes: [[u64; Pipe::ALL.len()]; SCHEDULERS],
    memory: u64,
    meetings: Vec<Meeting>,
    first_warpgroup: usize,
    /// When each round of a warp ended.
    ended: Vec<u64>,
}

/// Clocks that one round of one warp takes of the multiprocessor, when all go round and round: with twice as many warps and no
/// more limits it halves. Nothing where there is nothing to play.
pub fn clocks_per_round<'a>(
    path: impl IntoIterator<Item = &'a Instruction>,
    residency: Residency,
    timings: &Timings,
) -> Option<f64> {
    let steps: Vec<Step> = path.into_iter().map(|instruction| Step::new(instruction, timings)).collect();
    if steps.is_empty() || residency.blocks == 0 || residency.warps == 0 {
        return None;
    }
    let mut sm = Multiprocessor::new(residency);
    let mut clock = 0;
    while sm.warps.iter().any(|warp| warp.round < ROUNDS) && clock < MOST_CLOCKS {
        for scheduler in 0..SCHEDULERS {
            sm.issue(scheduler, clock, &steps);
        }
        clock += 1;
    }
    let (first, last) = (sm.ended.len() / 3, sm.ended.len() * 2 / 3);
    let rounds = last.checked_sub(first).filter(|rounds| *rounds > 0)?;
    Some((sm.ended[last] - sm.ended[first]) as f64 / rounds as f64)
}

impl Multiprocessor {
    fn new(residency: Residency) -> Multiprocessor {
        let (blocks, of_block) = (residency.blocks as usize, residency.warps as usize);
        let warp = |index: usize| Warp {
            scheduler: index % SCHEDULERS,
            block: index / of_block,
            at: 0,
            round: 0,
            ready: 0,
            scoreboards: [0; SCOREBOARDS],
            sums: [0; REGISTERS],
            wgmma_ready: 0,
            waiting: None,
        };
        let warps: Vec<Warp> = (0..blocks * of_block).map(warp).collect();
        let group = |size: usize| Meeting { size, ..Meeting::default() };
        let mut meetings = vec![group(of_block); blocks];
        meetings.extend(vec![group(WARPGROUP); warps.len().div_ceil(WARPGROUP)]);
        let pipes = [[0; Pipe::ALL.len()]; SCHEDULERS];
        Multiprocessor { warps, pipes, memory: 0, meetings, first_warpgroup: blocks, ended: vec![] }
    }

    /// Issues the next instruction of the warp that is furthest behind among those that can.
    fn issue(&mut self, scheduler: usize, clock: u64, steps: &[Step]) {
        let own = |index: &usize| {
            let warp = &self.warps[*index];
            warp.scheduler == scheduler && warp.round < ROUNDS && self.can_issue(warp, clock, &steps[warp.at])
        };
        let behind = |index: &usize| (self.warps[*index].round, self.warps[*index].at);
        if let Some(index) = (0..self.warps.len()).filter(own).min_by_key(behind) {
            self.step(index, clock, &steps[self.warps[index].at], steps.len());
        }
    }

    fn can_issue(&self, warp: &Warp, clock: u64, step: &Step) -> bool {
        let met = |(group, met): (usize, u64)| self.meetings[group].met > met;
        let summed = step.sums.and_then(|(_, added)| added).is_none_or(|added| warp.sums[added] <= clock);
        warp.ready <= clock
            && warp.waiting.is_none_or(met)
            && step.waits.iter().all(|&index| warp.scoreboards[index] <= clock)
            && (!step.waits_for_wgmma || warp.wgmma_ready <= clock)
            && (step.is_wgmma || self.pipes[warp.scheduler][step.pipe as usize] <= clock)
            && (step.pipe != Pipe::Memory || self.memory <= clock + MEMORY_QUEUE)
            && summed
    }

    fn step(&mut self, index: usize, clock: u64, step: &Step, length: usize) {
        let warp = &mut self.warps[index];
        warp.waiting = None;
        let pipe = &mut self.pipes[warp.scheduler][step.pipe as usize];
        // A `wgmma` goes into a queue; others wait for their pipe before they issue.
        let begins = (*pipe).max(clock);
        *pipe = begins + step.interval;
        if step.wavefronts > 0 {
            self.memory = self.memory.max(clock) + step.wavefronts;
        }
        let queued =
            if step.pipe == Pipe::Memory { self.memory.saturating_sub(clock) } else { begins - clock };
        let done = clock + queued + step.latency;
        if step.is_wgmma {
            warp.wgmma_ready = done;
        }
        if let Some((result, _)) = step.sums {
            warp.sums[result] = done;
        }
        let mut hold = |scoreboard: Option<usize>, until: u64| {
            if let Some(index) = scoreboard {
                warp.scoreboards[index] = warp.scoreboards[index].max(until);
            }
        };
        hold(step.write, done);
        hold(step.read, clock + queued + READ_LATENCY);
        if let Some(sync) = step.sync {
            let group =
                if sync == Sync::Block { warp.block } else { self.first_warpgroup + index / WARPGROUP };
            let meeting = &mut self.meetings[group];
            warp.waiting = Some((group, meeting.met));
            meeting.arrived += 1;
            if meeting.arrived >= meeting.size {
                meeting.arrived = 0;
                meeting.met += 1;
            }
        }
        warp.ready = clock + step.stall;
        warp.at += 1;
        if warp.at == length {
            warp.at = 0;
            warp.round += 1;
            self.ended.push(clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pipe::HOPPER, sass::Control};

    fn instruction(opcode: &str, operands: &str, control: Control) -> Instruction {
        Instruction { guard: None, opcode: opcode.into(), operands: operands.into(), control }
    }

    fn clocks(path: &[Instruction], blocks: u32, warps: u32) -> f64 {
        clocks_per_round(path, Residency { blocks, warps }, &HOPPER).expect("a path")
    }

    #[test]
    fn pipes_limit_many_warps_and_stalls_limit_few() {
        let stalling = Control { stall: 4, ..Control::default() };
        let path = vec![instruction("LOP3.LUT", "R0, R0, R0, RZ, 0xc0, !PT", stalling); 10];
        // One warp waits four clocks for each; four schedulers with four warps each issue every second clock.
        assert!((clocks(&path, 1, 1) - 40.0).abs() < 1.0);
        assert!((clocks(&path, 1, 16) - 5.0).abs() < 0.5);
    }

    #[test]
    fn memory_takes_a_wavefront_a_clock_and_is_waited_for_by_scoreboards() {
        let load =
            instruction("LDS.128", "R0, [R4]", Control { stall: 1, write: Some(0), read: None, wait: 0 });
        let wait = instruction("FADD", "R0, R0, R1", Control { stall: 1, write: None, read: None, wait: 1 });
        let path = [load, wait];
        let alone = clocks(&path, 1, 1);
        assert!(alone > 30.0, "{alone}");
        assert!((clocks(&path, 2, 16) - 4.0).abs() < 0.5);
    }

    #[test]
    fn sums_of_matrix_units_are_waited_for() {
        let of = |operands: &str| {
            instruction("HMMA.16816.F32", operands, Control { stall: 1, ..Control::default() })
        };
        let chained = clocks(&[of("R4, R8, R12, R4"), of("R4, R8, R12, R4")], 1, 1);
        let apart = clocks(&[of("R4, R8, R12, RZ"), of("R16, R8, R12, RZ")], 1, 1);
        assert!(chained > 4.0 * apart, "{chained} and {apart}");
    }

    #[test]
    fn warps_of_a_block_meet_at_its_barrier() {
        let barrier =
            instruction("BAR.SYNC.DEFER_BLOCKING", "0x0", Control { stall: 1, ..Control::default() });
        let work = vec![instruction("LOP3.LUT", "R0", Control { stall: 2, ..Control::default() }); 8];
        let path: Vec<_> = work.into_iter().chain([barrier]).collect();
        assert!(clocks(&path, 1, 8) > clocks(&path[..8], 1, 8));
        assert!(clocks_per_round(&[], Residency { blocks: 1, warps: 1 }, &HOPPER).is_none());
    }
}
