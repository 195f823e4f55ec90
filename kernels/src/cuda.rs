//! The CUDA sources: one file for each kernel, named by its stem, beside the headers that they share.
//!
//! A source is specialised by definitions alone: what a model fixes is a constant, what a step brings is an argument. A file
//! defines its kernel as `KERNEL_NAME`: machine code, faults and profiles call it as the registry's row does.

use samp_abi::ElementType;
use std::{borrow::Cow, collections::BTreeMap, fmt::Display};

/// A file that kernels include.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name as included.
    pub name: &'static str,
    /// What it holds.
    pub text: &'static str,
}

/// One kernel, ready to be compiled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Name of its file, without the ending.
    pub stem: &'static str,
    /// What machine code, faults and profiles call the kernel: the name of the registry's row that it stands for, or the
    /// file's where it stands for none.
    pub symbol: &'static str,
    /// Text of the file; it includes only [`HEADERS`].
    pub text: Cow<'static, str>,
    /// Values of the constants that specialise it, by name.
    pub defines: BTreeMap<&'static str, String>,
}

impl Source {
    /// A kernel in a file of its own, without constants.
    pub const fn new(stem: &'static str, text: &'static str) -> Source {
        Source { stem, symbol: stem, text: Cow::Borrowed(text), defines: BTreeMap::new() }
    }

    /// The kernel or probe of this stem, without constants.
    pub fn find(stem: &str) -> Option<Source> {
        let (stem, text) = KERNELS.iter().chain(PROBES).find(|(name, _)| *name == stem)?;
        Some(Source::new(stem, text))
    }

    /// The same, called `symbol`.
    pub fn named(self, symbol: &'static str) -> Source {
        Source { symbol, ..self }
    }

    /// Every text that the machine code follows from, constants included, each behind its name.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = HEADERS.iter().map(|header| (header.name, header.text));
        [(self.stem, &*self.text)].into_iter().chain(headers).chain(self.macros())
    }

    /// Every macro that a compiler is given, with its value: the constants and the kernel's name.
    pub fn macros(&self) -> impl Iterator<Item = (&str, &str)> {
        let constants = self.defines.iter().map(|(name, value)| (*name, value.as_str()));
        constants.chain([("KERNEL_NAME", self.symbol)])
    }

    /// Whether the kernel waits by itself (`grid_wait` of `dev.cuh`) for the launch ahead of it. One that does not must not
    /// begin early: it would read what is not yet written. A header that waits does so in all kernels that include it.
    pub fn waits_for_launch_before(&self) -> bool {
        let text_of =
            |name: &str| HEADERS.iter().find(|header| header.name == name).map(|header| header.text);
        let (mut seen, mut queue) = (vec!["dev.cuh"], vec![&*self.text]);
        while let Some(text) = queue.pop() {
            if text.lines().any(|line| line.trim() == "grid_wait();") {
                return true;
            }
            let included =
                text.lines().filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"'));
            for name in included {
                if !seen.contains(&name) {
                    seen.push(name);
                    queue.extend(text_of(name));
                }
            }
        }
        false
    }

    /// Sets a constant.
    pub fn define(mut self, name: &'static str, value: impl Display) -> Source {
        self.defines.insert(name, value.to_string());
        self
    }
}

/// What activations are stored as between kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// IEEE binary16, the usual one.
    #[default]
    F16,
    /// bfloat16, where weights are plainly stored in it.
    Bf16,
}

impl Activation {
    /// The one of this type; `None` where kernels of GPUs do not take it.
    pub fn from_element(dtype: ElementType) -> Option<Activation> {
        match dtype {
            ElementType::F16 => Some(Activation::F16),
            ElementType::Bf16 => Some(Activation::Bf16),
            _ => None,
        }
    }

    /// The kernel of this stem for such activations. Panics if there is no such kernel.
    pub(crate) fn source(self, stem: &str) -> Source {
        let source = Source::find(stem).unwrap_or_else(|| panic!("no kernel is called {stem}"));
        if self == Activation::Bf16 { source.define("ACT_BF16", 1) } else { source }
    }
}

/// Where a column of fp8 activations lies in its row, a multiple of 16 wide: within every 16 columns pairs stand in the order
/// 0, 4, 1, 5, 2, 6, 3, 7, as lanes of matrix units hold those of a weight in `fragments`.
pub fn fp8_place(column: usize) -> usize {
    column / 16 * 16 + column % 8 / 2 * 4 + column % 16 / 8 * 2 + column % 2
}

/// Size of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Blocks along x, y and z.
    pub blocks: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block.
    pub shared_bytes: u32,
}

macro_rules! headers {
    ($($name:literal),* $(,)?) => {
        /// Every header that kernels and probes may include.
        pub const HEADERS: &[Header] =
            &[$(Header { name: $name, text: include_str!(concat!("../gpu/cuda/", $name)) }),*];
    };
}

macro_rules! probes {
    ($($stem:literal),* $(,)?) => {
        /// Stem and text of kernels that show what the wrappers of `dev.cuh` do, one by one; no plan uses them.
        pub const PROBES: &[(&str, &str)] =
            &[$(($stem, include_str!(concat!("../gpu/cuda/probes/", $stem, ".cu")))),*];
    };
}

macro_rules! kernels {
    ($($(#[$attribute:meta])* $stem:literal),* $(,)?) => {
        /// Stem and text of every kernel.
        pub const KERNELS: &[(&str, &str)] =
            &[$($(#[$attribute])* ($stem, include_str!(concat!("../gpu/cuda/", $stem, ".cu")))),*];
    };
}

headers![
    "activation.cuh",
    "attention.cuh",
    "dev.cuh",
    "e4m3.cuh",
    "embed.cuh",
    "kv_cache.cuh",
    "linear_gemv.cuh",
    "linear_mma.cuh",
    "linear_wgmma.cuh",
    "output.cuh",
    "row.cuh",
    "row_norm.cuh",
    "select.cuh",
    "silu.cuh",
    "stream_k.cuh",
    "tables.cuh",
    "types.cuh",
    "weights.cuh",
];

kernels![
    "add",
    "add_rms_norm",
    "attention_decode",
    "attention_prefill",
    "concat",
    "embed_bf16",
    "embed_f16",
    "embed_f32",
    "embed_fp8",
    "embed_int4",
    "embed_int8",
    "embed_nf4",
    "gather",
    "linear_bf16_gemv",
    "linear_bf16_mma",
    "linear_bf16_wgmma",
    "linear_f16_gemv",
    "linear_f16_mma",
    "linear_f16_wgmma",
    #[cfg(feature = "fp8-activations")]
    "linear_fp8_fp8_wgmma",
    "linear_fp8_gemv",
    "linear_fp8_mma",
    "linear_fp8_wgmma",
    "linear_int4_gemv",
    "linear_int4_mma",
    "linear_int4_wgmma",
    "linear_int8_gemv",
    "linear_int8_mma",
    "linear_int8_wgmma",
    "linear_nf4_gemv",
    "linear_nf4_mma",
    "linear_nf4_wgmma",
    "rms_norm",
    "rope_append",
    "sample",
    "silu_mul",
    #[cfg(feature = "fp8-activations")]
    "silu_mul_fp8",
];

probes![
    "probe_bf16",
    "probe_bulk",
    "probe_copy",
    "probe_fence",
    "probe_handoff",
    "probe_matrix",
    "probe_numbers",
    "probe_patterns",
    "probe_stream",
    "probe_sync",
    "probe_warp",
    "probe_wgmma",
    "probe_wgmma_fp8",
    "probe_wide",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_waits_and_of_probes_the_one_of_waiting() {
        for (stem, _) in KERNELS.iter().chain(PROBES) {
            let waits = Source::find(stem).expect("a kernel or probe").waits_for_launch_before();
            assert_eq!(waits, !stem.starts_with("probe_") || *stem == "probe_handoff", "{stem}");
        }
        let without =
            Source { text: "#include \"dev.cuh\"\n// grid_wait();\n".into(), ..Source::find("add").unwrap() };
        assert!(!without.waits_for_launch_before(), "neither a remark nor the definition is a call");
    }
}
