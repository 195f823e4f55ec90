//! Cases of kernels on a GPU.

use rayon::prelude::*;
use samp_kernel_cases::{self as cases, KernelCase};
use samp_runtime::{
    Progress,
    device::gpu::{Arg, Driver, DriverError},
};

use crate::{
    error::GpuError,
    gpu::Gpu,
    outcome::{Outcome, Summary},
};

/// Launches of each case; all must write the same.
const TIMES: usize = 3;

/// The cases of single wrappers of the device.
pub fn conformance() -> Vec<KernelCase> {
    cases::probes::cases()
}

/// The cases of every kernel.
pub fn kernels() -> Vec<KernelCase> {
    cases::kernels().par_iter().flat_map_iter(|group| group()).collect()
}

/// Memory of one argument on the GPU.
enum Memory<M> {
    Read(M, u64),
    Write(M, u64),
    None,
}

impl<D: Driver> Gpu<'_, D> {
    /// Runs cases one after another and tells of each before and after.
    pub fn run(&self, cases: &[KernelCase], progress: &dyn Progress) -> Result<Summary, GpuError> {
        self.run_units(cases, |case| case.name.clone(), |case| self.run_case(case), progress)
    }

    /// Runs one case several times.
    fn run_case(&self, case: &KernelCase) -> Result<Outcome, GpuError> {
        if case.hopper && !self.is_hopper() {
            return Ok(Outcome::Skipped);
        }
        let ready = self.ready(&case.source, case.grid)?;
        let memory = case.args.iter().map(|arg| self.memory_of(arg)).collect::<Result<Vec<_>, _>>()?;
        let mut first: Option<Vec<Vec<u8>>> = None;
        let mut worst = 0.0f64;
        for _ in 0..TIMES {
            self.fill(case, &memory)?;
            self.launch(&ready, &args(case, &memory))?;
            let written = self.written(&memory)?;
            match case.check(&written) {
                Ok(part) => worst = worst.max(part),
                Err(wrong) => return Ok(Outcome::Failed(wrong.to_string())),
            }
            let first = first.get_or_insert_with(|| written.clone());
            if !case.same(first, &written) {
                return Ok(Outcome::Failed(format!(
                    "{}: launched again, it wrote something else",
                    case.name
                )));
            }
        }
        Ok(Outcome::Passed(format!(" ({worst:.2} of the tolerance)")))
    }

    fn memory_of(&self, arg: &cases::Arg) -> Result<Memory<D::Memory>, DriverError> {
        let allocate = |bytes: &[u8]| self.driver.allocate("data of a case", bytes.len().max(1) as u64);
        Ok(match arg {
            cases::Arg::Read(bytes) | cases::Arg::Constant(bytes) => {
                Memory::Read(allocate(bytes)?, bytes.len() as u64)
            }
            cases::Arg::Write(bytes, _) => Memory::Write(allocate(bytes)?, bytes.len() as u64),
            _ => Memory::None,
        })
    }

    fn fill(&self, case: &KernelCase, memory: &[Memory<D::Memory>]) -> Result<(), DriverError> {
        for (arg, memory) in case.args.iter().zip(memory) {
            if let (
                cases::Arg::Read(bytes) | cases::Arg::Constant(bytes) | cases::Arg::Write(bytes, _),
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

fn args<'a, M>(case: &KernelCase, memory: &'a [Memory<M>]) -> Vec<Arg<'a, M>> {
    let arg = |(arg, memory): (&cases::Arg, &'a Memory<M>)| match (arg, memory) {
        (_, Memory::Read(memory, bytes) | Memory::Write(memory, bytes)) => {
            Arg::Memory { memory, offset: 0, bytes: *bytes }
        }
        (cases::Arg::I32(value), _) => Arg::I32(*value),
        (cases::Arg::F32(value), _) => Arg::F32(*value),
        _ => Arg::Null,
    };
    case.args.iter().zip(memory).map(arg).collect()
}
