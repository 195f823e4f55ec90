//! What decides a kernel's machine code beside its source: the compiler's version and options; and the hash of it all.

use samp_kernels::cuda::Source;

use crate::Arch;

/// The version that the sources are written for; another minor version gives other machine code.
pub(crate) const VERSION: (i32, i32) = (13, 0);

/// Options beside the architecture. C++17 and round-to-nearest arithmetic as written; multiply–adds are fused.
const OPTIONS: [&str; 3] = ["--std=c++17", "--ptxas-options=-v", "--restrict"];

/// The options of a compilation, in order.
pub(crate) fn options(source: &Source, arch: Arch) -> impl Iterator<Item = String> {
    let arch = format!("--gpu-architecture={arch}");
    let defines = source.macros().map(|(name, value)| format!("--define-macro={name}={value}"));
    OPTIONS.into_iter().map(str::to_owned).chain([arch]).chain(defines)
}

/// A hash of all that decides the machine code.
pub(crate) fn key(source: &Source, arch: Arch) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(&format!("NVRTC {}.{}", VERSION.0, VERSION.1));
    source.texts().flat_map(|(name, text)| [name, text]).for_each(&mut add);
    options(source, arch).for_each(|option| add(&option));
    hasher.finalize()
}
