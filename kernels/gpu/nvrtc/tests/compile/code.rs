//! What machine code must be: within its registers, and made of the instructions that its kernel was written for, as NVIDIA's
//! disassembler shows where the set-up could fetch it.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use rayon::prelude::*;
use samp_kernels::cuda::Source;
use samp_nvrtc::{Arch, Cache, Nvrtc};

/// Code to be looked at.
pub struct Job {
    /// The kernel as it is compiled.
    pub source: Source,
    /// The architecture that it is compiled for.
    pub arch: Arch,
    /// Registers that a thread may take, so that its launch fits.
    pub most_registers: u32,
    /// What the text of its instructions must hold. Where it is nothing, the assembler's report alone is looked at, which
    /// tells of local memory too: the disassembler takes most of a second.
    pub written_for: Vec<String>,
}

/// The disassembler beside the compiler; says so where there is none.
fn disassembler(nvrtc: &Nvrtc) -> Option<PathBuf> {
    let path = nvrtc.library().with_file_name("nvdisasm");
    if !path.is_file() {
        eprintln!("SKIPPED: no look at instructions: {} is missing; `.ci/setup` fetches it", path.display());
        return None;
    }
    Some(path)
}

fn disassemble(tool: &Path, cubin: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(cubin).expect("a file takes bytes");
    let output = Command::new(tool).arg("-c").arg(file.path()).output().expect("the disassembler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What is wrong with instructions: local memory, or not what the kernel was written for.
fn wrong(instructions: &str, written_for: &[String]) -> Vec<String> {
    let local = [" LDL", " STL"].into_iter().filter(|name| instructions.contains(name));
    let missing = written_for.iter().filter(|name| !instructions.contains(*name));
    let local = local.map(|name| format!("local memory:{name}"));
    local.chain(missing.map(|name| format!("no{}", name.trim_end()))).collect()
}

/// Whether machine code holds a kernel of this name: its instructions lie in the section `.text.NAME`.
pub fn exports(cubin: &[u8], symbol: &str) -> bool {
    let section = format!("\0.text.{symbol}\0");
    cubin.windows(section.len()).any(|bytes| bytes == section.as_bytes())
}

/// What is wrong with the code of kernels. The code is kept between runs of the tests.
pub fn faults(jobs: &[Job]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-kernels");
    let nvrtc = super::nvrtc().with_cache(Cache::at(&folder));
    let tool = disassembler(&nvrtc);
    let of = |job: &Job| {
        let cubin = nvrtc.compile(&job.source, job.arch).unwrap_or_else(|error| panic!("{error}"));
        let registers = cubin.report.registers;
        let mut faults = cubin.report.faults();
        if !exports(&cubin.bytes, job.source.symbol) {
            faults.push(format!("no kernel called {}", job.source.symbol));
        }
        if registers > job.most_registers {
            faults.push(format!("{registers} registers of {}", job.most_registers));
        }
        let tool = tool.iter().filter(|_| !job.written_for.is_empty());
        let instructions = tool.map(|tool| disassemble(tool, &cubin.bytes));
        faults.extend(instructions.flat_map(|text| wrong(&text, &job.written_for)));
        let about = format!("{} for {} with {:?}", job.source.stem, job.arch, job.source.defines);
        println!("{about}: {registers} registers");
        faults.into_iter().map(move |fault| format!("{about}: {fault}")).collect::<Vec<_>>()
    };
    jobs.par_iter().flat_map_iter(of).collect()
}

/// An array indexed at run time lies in local memory, by a stack frame; and loads nothing 16 bytes at a time.
const SPOILT: &str = "#include \"dev.cuh\"
    KERNEL(32) probe_warp(const u32* x, u32* out) {
      u32 held[32];
      for (int i = 0; i < 32; i++) held[i] = x[i * 32 + threadIdx.x];
      for (int i = 0; i < 32; i++) out[i] = held[x[i] % 32];
    }";

#[test]
fn spoilt_code_is_noticed() {
    let source = Source { text: SPOILT.into(), ..Source::find("probe_warp").expect("a probe") };
    let written_for = vec![" LDG.E.128".to_owned()];
    let found = faults(&[Job { source, arch: Arch::Sm80, most_registers: 8, written_for }]).join("\n");
    assert!(found.contains("a stack frame of 128 bytes") && found.contains("registers of 8"), "{found}");
    if disassembler(&super::nvrtc()).is_some() {
        assert!(found.contains("local memory: STL") && found.contains("no LDG.E.128"), "{found}");
    }
}
