//! Compiling and disassembling.

use std::path::{Path, PathBuf};

use samp_kernels::{
    cuda::{Grid, Source},
    linear::cuda::Linear,
    target::Target,
};
use samp_nvrtc::{Arch, Cache, Nvrtc};
use samp_static_model::{Block, Code, LinearModel, ModelError, disassemble};

/// The tools that make and read machine code. What was compiled is kept between runs of the tests.
pub struct Tools {
    nvrtc: Nvrtc,
    disassembler: PathBuf,
}

impl Tools {
    /// Those that the set-up fetched.
    pub fn find() -> Tools {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-kernels");
        let nvrtc = Nvrtc::find().unwrap_or_else(|error| panic!("{error}")).with_cache(Cache::at(&folder));
        let disassembler = nvrtc.library().with_file_name("nvdisasm");
        assert!(disassembler.is_file(), "{} is missing; `.ci/setup` fetches it", disassembler.display());
        Tools { nvrtc, disassembler }
    }

    /// A kernel's code, and the registers of a thread.
    pub fn code(&self, source: &Source, arch: Arch) -> (Code, u32) {
        let cubin = self.nvrtc.compile(source, arch).unwrap_or_else(|error| panic!("{error}"));
        let code = disassemble(&self.disassembler, &cubin.bytes).unwrap_or_else(|error| panic!("{error}"));
        assert!(code.instructions.len() > 20, "{}: {} instructions", source.stem, code.instructions.len());
        (code, cubin.report.registers)
    }

    /// The model of a linear on targets that run the same code.
    pub fn linear(&self, linear: &Linear, targets: &[&Target]) -> Vec<LinearModel> {
        let arch = Arch::for_target(targets[0]).expect("a GPU");
        let (code, registers) = self.code(&linear.source(), arch);
        let of = |target: &&Target| {
            let model = LinearModel::new(linear, &code, registers, target);
            model.unwrap_or_else(|error| panic!("{}: {error}", linear.source().stem))
        };
        targets.iter().map(of).collect()
    }

    /// The model of an attention kernel with such a launch.
    pub fn attention<T>(
        &self,
        source: &Source,
        grid: &Grid,
        target: &Target,
        model: impl Fn(&Code, Block) -> Result<T, ModelError>,
    ) -> T {
        let (code, registers) = self.code(source, Arch::for_target(target).expect("a GPU"));
        let block = Block { threads: grid.threads, registers, shared_bytes: grid.shared_bytes };
        model(&code, block).unwrap_or_else(|error| panic!("{}: {error}", source.stem))
    }
}
