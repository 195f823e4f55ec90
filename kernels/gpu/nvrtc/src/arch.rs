//! What code is compiled for.

use std::fmt;

use samp_kernels::target::{HOPPER, Target};

/// A real architecture of NVIDIA's; its code runs on chips of the same major version only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// Ampere, as A100 has it.
    Sm80,
    /// H100 and H200, without their own matrix instructions.
    Sm90,
    /// H100 and H200.
    Sm90a,
}

impl Arch {
    /// Every architecture that kernels are compiled for.
    pub const ALL: [Arch; 3] = [Arch::Sm80, Arch::Sm90, Arch::Sm90a];

    /// What a GPU's code is compiled for, with its own matrix instructions; `None` for a CPU.
    pub fn for_target(target: &Target) -> Option<Arch> {
        let capability = target.compute_capability?;
        Some(if capability >= HOPPER { Arch::Sm90a } else { Arch::Sm80 })
    }

    /// The name that the compiler takes.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::Sm80 => "sm_80",
            Arch::Sm90 => "sm_90",
            Arch::Sm90a => "sm_90a",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
