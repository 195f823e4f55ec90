//! Machine code: the kernels that a plan for a GPU calls for, compiled ahead of time.

use std::{collections::BTreeMap, fs, path::Path};

use rayon::prelude::*;
use samp_kernels::{cuda::Source, target::Target};
use samp_nvrtc::{Arch, Cache, Cubin, Nvrtc};
use samp_runtime::{
    cache_dir::cache_dir,
    plan::code::{CODE_FOLDER, instantiate, sources},
    thread_pool,
};
use serde::Serialize;

use super::{
    error::{CodeError, During, EmitError},
    manifest::Manifest,
    staging::write_synced,
};
use crate::lower::PlanSpec;

/// The file that says what the code of each kernel takes.
pub const CODE_REPORT: &str = "kernels/report.json";

/// The code of one kernel.
#[derive(Debug)]
pub struct CubinFile {
    /// Where it lies in the plan.
    pub path: String,
    source: Source,
    /// The code, and what it takes.
    pub cubin: Cubin,
}

/// All machine code of a plan, by path; none for CPUs.
#[derive(Debug, Default)]
pub struct MachineCode(pub Vec<CubinFile>);

impl MachineCode {
    /// Compiles every kernel that `spec` calls for on so many threads. What was compiled before, for whatever plan, comes
    /// from a cache.
    pub fn compile(spec: &PlanSpec, threads: usize) -> Result<MachineCode, CodeError> {
        let target = Target::of(spec.target);
        let (Some(capability), Some(arch)) = (target.compute_capability, Arch::for_target(target)) else {
            return Ok(MachineCode::default());
        };
        let matrix = |id| spec.matrix(id);
        let sources = sources(&instantiate(&spec.plan_constants(&matrix))?, capability);
        let nvrtc = Nvrtc::find()?.with_cache(Cache::at(&cache_dir("kernels")));
        let compile = |(path, source): (String, Source)| {
            let cubin = nvrtc.compile(&source, arch)?;
            match cubin.report.faults() {
                faults if !faults.is_empty() => Err(CodeError::Faulty { path, faults }),
                _ => Ok(CubinFile { path, source, cubin }),
            }
        };
        let pool = thread_pool(Some(threads))?;
        let files: Result<Vec<CubinFile>, CodeError> =
            pool.install(|| sources.into_par_iter().map(compile).collect());
        files.map(MachineCode)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|file| file.cubin.bytes.len() as u64).sum()
    }

    /// What each takes, as [`CODE_REPORT`] says it.
    pub fn report(&self) -> Vec<CodeReport<'_>> {
        self.0.iter().map(CodeReport::new).collect()
    }

    /// Writes the files into a plan and names them.
    pub(super) fn add_to(&self, manifest: &mut Manifest, out: &Path) -> Result<(), EmitError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let folder = out.join(CODE_FOLDER);
        fs::create_dir_all(&folder).during("making", &folder)?;
        for file in &self.0 {
            manifest.add_file(out, &file.path, &file.cubin.bytes)?;
        }
        manifest.add_json(out, CODE_REPORT, &self.report())
    }

    /// Writes the files alone into a folder.
    pub fn write(&self, out: &Path) -> Result<(), EmitError> {
        let folder = out.join(CODE_FOLDER);
        fs::create_dir_all(&folder).during("making", &folder)?;
        for file in &self.0 {
            write_synced(&out.join(&file.path), &file.cubin.bytes)?;
        }
        let report = serde_json::to_vec_pretty(&self.report()).expect("plain data");
        write_synced(&out.join(CODE_REPORT), &report)
    }
}

/// What the code of a kernel takes of a multiprocessor.
#[derive(Debug, Serialize)]
pub struct CodeReport<'a> {
    /// The code's file.
    pub path: &'a str,
    /// The source that the code was compiled from.
    pub kernel: &'static str,
    /// What specialises it.
    pub constants: &'a BTreeMap<&'static str, String>,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of a thread that registers did not suffice for; code that has any is refused.
    pub spill_bytes: u32,
    /// Bytes of a thread's stack frame; likewise.
    pub stack_bytes: u32,
    /// Bytes of shared memory that the code itself declares.
    pub shared_bytes: u32,
    /// What the compiler warned of.
    pub warnings: &'a [String],
}

impl CodeReport<'_> {
    fn new(file: &CubinFile) -> CodeReport<'_> {
        let report = &file.cubin.report;
        CodeReport {
            path: &file.path,
            kernel: file.source.symbol,
            constants: &file.source.defines,
            registers: report.registers,
            spill_bytes: report.spill_bytes,
            stack_bytes: report.stack_bytes,
            shared_bytes: report.shared_bytes,
            warnings: &report.warnings,
        }
    }
}
