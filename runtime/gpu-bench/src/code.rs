//! Where machine code comes from.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use samp_abi::TargetName;
use samp_kernels::{cuda::Source, target::Target};
use samp_nvrtc::{Arch, Cache, Nvrtc, NvrtcError};

/// Machine code by what it was compiled from.
pub enum Code {
    /// A folder that [`prepare`] filled.
    Folder {
        /// Where the code lies.
        folder: PathBuf,
        /// What its code is for.
        arch: Arch,
    },
    /// None, for a driver that compiles sources itself.
    Source,
}

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The folder does not have it.
    #[error(
        "{} has no code of {kernel} for {arch} with these constants: {defines}; fill it with `samp-gpu prepare` of this version",
        folder.display()
    )]
    Missing {
        /// Name of the kernel.
        kernel: &'static str,
        /// The constants that specialise it.
        defines: String,
        /// What it would be compiled for.
        arch: Arch,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// It could not be compiled.
    #[error(transparent)]
    Compile(#[from] NvrtcError),
    /// Code that would run slower than it was written to.
    #[error("{} kernels for {arch} are not what they were written to be, a bug in samp: please report\n{}", kernels.len(), kernels.join("\n"))]
    Faulty {
        /// What it would be compiled for.
        arch: Arch,
        /// Each with its constants and all that is wrong with its code.
        kernels: Vec<String>,
    },
    /// The target has no machine code.
    #[error("{0} is not a GPU; choose h100, h200 or a100")]
    Target(TargetName),
}

impl Code {
    /// The code in a folder for a target.
    pub fn folder(folder: &Path, target: TargetName) -> Result<Code, CodeError> {
        Ok(Code::Folder { folder: folder.to_owned(), arch: arch(target)? })
    }

    /// The code of a kernel; nothing of [`Code::Source`].
    pub fn cubin(&self, source: &Source) -> Result<Vec<u8>, CodeError> {
        let Code::Folder { folder, arch } = self else { return Ok(vec![]) };
        let found = Cache::at(folder).find(source, *arch);
        found.map(|cubin| cubin.bytes).ok_or_else(|| CodeError::Missing {
            kernel: source.symbol,
            defines: format!("{:?}", source.defines),
            arch: *arch,
            folder: folder.clone(),
        })
    }
}

/// What the code of a target is compiled for.
fn arch(target: TargetName) -> Result<Arch, CodeError> {
    Arch::for_target(Target::of(target)).ok_or(CodeError::Target(target))
}

/// Compiles kernels for a target into a folder, in parallel. What is there is left as it is. Returns the bytes of code; an
/// error if any of it spills, has a stack frame, or makes the assembler warn of lost performance: what is measured of it
/// would say nothing of the kernel.
pub fn prepare(
    nvrtc: Nvrtc,
    sources: &[Source],
    target: TargetName,
    folder: &Path,
) -> Result<u64, CodeError> {
    let arch = arch(target)?;
    let nvrtc = nvrtc.with_cache(Cache::at(folder));
    let compile = |source: &Source| {
        let cubin = nvrtc.compile(source, arch)?;
        let faults = cubin.report.faults().join(", ");
        let about = format!("{} with {:?}: {faults}", source.symbol, source.defines);
        Ok((cubin.bytes.len() as u64, (!faults.is_empty()).then_some(about)))
    };
    let compiled: Vec<_> = sources.par_iter().map(compile).collect::<Result<_, NvrtcError>>()?;
    let kernels: Vec<String> = compiled.iter().filter_map(|(_, faulty)| faulty.clone()).collect();
    match kernels.is_empty() {
        true => Ok(compiled.iter().map(|(bytes, _)| bytes).sum()),
        false => Err(CodeError::Faulty { arch, kernels }),
    }
}
