//! Trials of kernels on a GPU.

use rayon::prelude::*;
use samp_kernels::trial::{self, Trial};
use samp_runtime::device::gpu::{Arg, Driver, DriverError};

use crate::{
    Gpu, GpuError,
    units::{Came, Tally},
};

/// Launches of each trial; all must write the same.
const TIMES: usize = 3;

/// The trials of single wrappers of the device.
pub fn conformance() -> Vec<Trial> {
    trial::probes::trials()
}

/// The trials of every kernel.
pub fn kernels() -> Vec<Trial> {
    trial::kernels().par_iter().flat_map_iter(|group| group()).collect()
}

/// Memory of one argument on the GPU.
enum Memory<M> {
    Read(M, u64),
    Write(M, u64),
    None,
}

impl<D: Driver> Gpu<'_, D> {
    /// Runs trials one after another and tells of each before and after.
    pub fn run(&self, trials: &[Trial], mut tell: impl FnMut(&str)) -> Result<Tally, GpuError> {
        self.each(trials, |trial| trial.name.clone(), |trial| self.try_out(trial), &mut tell)
    }

    /// Runs one trial several times.
    fn try_out(&self, trial: &Trial) -> Result<Came, GpuError> {
        if trial.hopper && !self.is_hopper() {
            return Ok(Came::LeftOut);
        }
        let ready = self.ready(&trial.source, trial.grid)?;
        let memory = trial.args.iter().map(|arg| self.memory_of(arg)).collect::<Result<Vec<_>, _>>()?;
        let mut first: Option<Vec<Vec<u8>>> = None;
        let mut worst = 0.0f64;
        for _ in 0..TIMES {
            self.fill(trial, &memory)?;
            self.launch(&ready, &args(trial, &memory))?;
            let written = self.written(&memory)?;
            match trial.check(&written) {
                Ok(part) => worst = worst.max(part),
                Err(wrong) => return Ok(Came::Wrong(wrong.to_string())),
            }
            let first = first.get_or_insert_with(|| written.clone());
            if !trial.same(first, &written) {
                return Ok(Came::Wrong(format!("{}: launched again, it wrote something else", trial.name)));
            }
        }
        Ok(Came::Held(format!(" ({worst:.2} of the tolerance)")))
    }

    fn memory_of(&self, arg: &trial::Arg) -> Result<Memory<D::Memory>, DriverError> {
        let allocate = |bytes: &[u8]| self.driver.allocate("data of a trial", bytes.len().max(1) as u64);
        Ok(match arg {
            trial::Arg::Read(bytes) | trial::Arg::Constant(bytes) => {
                Memory::Read(allocate(bytes)?, bytes.len() as u64)
            }
            trial::Arg::Write(bytes, _) => Memory::Write(allocate(bytes)?, bytes.len() as u64),
            _ => Memory::None,
        })
    }

    fn fill(&self, trial: &Trial, memory: &[Memory<D::Memory>]) -> Result<(), DriverError> {
        for (arg, memory) in trial.args.iter().zip(memory) {
            if let (
                trial::Arg::Read(bytes) | trial::Arg::Constant(bytes) | trial::Arg::Write(bytes, _),
                Memory::Read(to, _) | Memory::Write(to, _),
            ) = (arg, memory)
            {
                self.driver.upload(to, 0, bytes)?;
            }
        }
        Ok(())
    }

    fn written(&self, memory: &[Memory<D::Memory>]) -> Result<Vec<Vec<u8>>, DriverError> {
        let mut all = vec![];
        for memory in memory {
            if let Memory::Write(from, bytes) = memory {
                let mut read = vec![0; *bytes as usize];
                self.driver.download(from, 0, &mut read)?;
                all.push(read);
            }
        }
        Ok(all)
    }
}

fn args<'a, M>(trial: &Trial, memory: &'a [Memory<M>]) -> Vec<Arg<'a, M>> {
    let arg = |(arg, memory): (&trial::Arg, &'a Memory<M>)| match (arg, memory) {
        (_, Memory::Read(memory, bytes) | Memory::Write(memory, bytes)) => {
            Arg::Memory { memory, offset: 0, bytes: *bytes }
        }
        (trial::Arg::I32(value), _) => Arg::I32(*value),
        (trial::Arg::F32(value), _) => Arg::F32(*value),
        _ => Arg::Null,
    };
    trial.args.iter().zip(memory).map(arg).collect()
}
