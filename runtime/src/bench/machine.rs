//! What the host can do at most, for comparison: measured before each piece of work, by the threads that do the work.

use memmap2::{Advice, MmapMut, MmapOptions};
use rayon::prelude::*;
use samp_kernels::peak::{UNITS, read_rate};
use serde::Serialize;

use super::spread::Spread;
use crate::{device::DeviceError, proc::available_memory};

/// Bytes that are read to measure memory: more than the caches of any machine that this runs on.
const MEMORY_BYTES: u64 = 1 << 30;

/// Memory to read.
pub(super) struct MachineProbe(MmapMut);

/// What the machine did at one moment.
#[derive(Clone, Debug)]
pub(super) struct MachineRates {
    /// Bytes of memory read a second.
    pub memory: f64,
    /// Operations a second of each of [`UNITS`].
    pub units: Vec<Option<f64>>,
}

impl MachineProbe {
    /// Takes a gigabyte, or a quarter of what the machine has left where that is less.
    pub(super) fn new() -> Result<MachineProbe, DeviceError> {
        let bytes = available_memory().map_or(MEMORY_BYTES, |available| MEMORY_BYTES.min(available / 4));
        let bytes = bytes.next_multiple_of(size_of::<f32>() as u64);
        let refused =
            |source| DeviceError::Memory { what: "measuring memory", bytes, remedy: "free memory", source };
        let mut memory = MmapOptions::new().len(bytes as usize).map_anon().map_err(refused)?;
        // Advice: without large pages reading is a little slower, as it is for weights in mapped files.
        let _ = memory.advise(Advice::HugePage);
        // Pages that nobody has written to all share one.
        bytemuck::cast_slice_mut(&mut memory)
            .par_chunks_mut(1 << 16)
            .for_each(|values: &mut [f32]| values.fill(1.0));
        Ok(MachineProbe(memory))
    }

    pub(super) fn measure(&self) -> MachineRates {
        MachineRates {
            memory: read_rate(bytemuck::cast_slice(&self.0)),
            units: UNITS.iter().map(|unit| unit.measure()).collect(),
        }
    }
}

/// What the machine can do at most, in the same run and on the same threads as the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MachineReport {
    /// How fast memory is read, in 10⁹ bytes a second.
    pub memory_gb_per_second: Spread,
    /// Bytes of memory that were read for that, again and again.
    pub memory_bytes: u64,
    /// Each unit that multiplies and adds.
    pub arithmetic: Vec<UnitReport>,
}

/// What a unit of the machine can do, and what reading a prompt makes of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnitReport {
    /// What it computes, such as `f32 FMA`.
    pub unit: &'static str,
    /// 10⁹ operations a second, a multiply–add counted as two.
    pub gflops: Spread,
    /// What the prompt's operations are of these, as a part of 1.
    pub prompt_part: Spread,
}

impl MachineReport {
    /// From what was measured before all work, and the operations a second of prompts beside what was measured before each.
    pub(super) fn new(
        probe: &MachineProbe,
        all: &[&MachineRates],
        prompts: &[(f64, &MachineRates)],
    ) -> Option<MachineReport> {
        let unit = |(index, unit): (usize, &samp_kernels::peak::ArithmeticUnit)| {
            let rates = all.iter().map(|rates| Some(rates.units[index]? / 1e9));
            let parts = prompts.iter().map(|(reached, rates)| Some(reached / rates.units[index]?));
            let (gflops, prompt_part) = (Spread::of_all(rates)?, Spread::of_all(parts)?);
            Some(UnitReport { unit: unit.name, gflops, prompt_part })
        };
        Some(MachineReport {
            memory_gb_per_second: Spread::of(all.iter().map(|rates| rates.memory / 1e9))?,
            memory_bytes: probe.0.len() as u64,
            arithmetic: UNITS.iter().enumerate().filter_map(unit).collect(),
        })
    }
}
