//! What the machine code is made of, read with NVIDIA's disassembler where the set-up could fetch it.

use std::{io::Write, path::PathBuf, process::Command};

use samp_abi::Format;
use samp_kernels::linear::cuda::{Kind, Linear};
use samp_nvrtc::{Arch, Nvrtc};

/// The disassembler beside the compiler.
fn disassembler(nvrtc: &Nvrtc) -> Option<PathBuf> {
    let path = nvrtc.library().with_file_name("nvdisasm");
    path.is_file().then_some(path)
}

fn disassemble(kind: Kind, format: &str, tokens: u32, arch: Arch) -> Option<String> {
    let nvrtc = super::nvrtc();
    let Some(tool) = disassembler(&nvrtc) else {
        eprintln!("SKIPPED: nvdisasm is not beside {}; `.ci/setup` fetches it", nvrtc.library().display());
        return None;
    };
    let format: Format = format.parse().expect("a format");
    let linear = Linear::new(kind, format, (4096, 4096), tokens).expect("a kernel");
    let cubin = nvrtc.compile(&linear.source(), arch).unwrap_or_else(|error| panic!("{error}"));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&cubin.bytes).unwrap();
    let output = Command::new(tool).arg("-c").arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The instructions that must and must not be there.
#[track_caller]
fn check(kind: Kind, (format, tokens): (&str, u32), arch: Arch, wanted: &[&str]) {
    let Some(code) = disassemble(kind, format, tokens, arch) else { return };
    for instruction in wanted {
        assert!(code.contains(instruction), "{kind:?} {format} for {arch} has no {instruction}");
    }
    for instruction in [" LDL", " STL"] {
        assert!(!code.contains(instruction), "{kind:?} {format} for {arch} has {instruction}");
    }
}

#[test]
fn kernels_use_the_instructions_they_are_written_for() {
    let asynchronous = "LDGSTS.E.BYPASS";
    for arch in [Arch::Sm80, Arch::Sm90a] {
        check(Kind::Gemv, ("nf4", 1), arch, &[asynchronous, "HMMA.16816.F32", "LDS.128"]);
        check(Kind::Mma, ("nf4", 8), arch, &[asynchronous, "HMMA.16816.F32", "LDSM.16.M88.4"]);
        check(Kind::Mma, ("int4", 64), arch, &[asynchronous, "HMMA.16816.F32", "HFMA2"]);
    }
    check(Kind::Wgmma, ("nf4", 64), Arch::Sm90a, &["HGMMA.64x64x16.F32", "UBLKCP", "SYNCS"]);
    check(Kind::Mma, ("bf16", 8), Arch::Sm80, &["HMMA.16816.F32.BF16"]);
    check(Kind::Wgmma, ("bf16", 64), Arch::Sm90a, &["HGMMA.64x64x16.F32.BF16", "UBLKCP", "SYNCS"]);
    check(Kind::Wgmma, ("fp8", 128), Arch::Sm90a, &["HGMMA.64x128x16.F32", "UBLKCP", "SYNCS"]);
    for (tokens, units) in [(16, "QGMMA.64x16x32.F32.E4M3.E4M3"), (128, "QGMMA.64x128x32.F32.E4M3.E4M3")] {
        check(Kind::WgmmaFp8, ("fp8", tokens), Arch::Sm90a, &[units, "UBLKCP", "SYNCS", "LDS.128"]);
    }
}
