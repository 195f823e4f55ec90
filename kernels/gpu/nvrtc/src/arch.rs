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
    ///
    /// # Panics
    /// For a GPU whose compute capability has no architecture here.
    pub fn for_target(target: &Target) -> Option<Arch> {
        let (major, minor) = target.compute_capability?;
        let arch = Arch::for_capability(major, minor);
        Some(arch.unwrap_or_else(|| panic!("{} of capability {major}.{minor} has no Arch", target.name)))
    }

    /// The one architecture of a compute capability: code for another would not run there, or not use its units.
    fn for_capability(major: u32, minor: u32) -> Option<Arch> {
        match (major, minor) {
            (8, 0) => Some(Arch::Sm80),
            HOPPER => Some(Arch::Sm90a),
            _ => None,
        }
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

#[cfg(test)]
mod tests {
    use samp_abi::TargetName;

    use super::*;

    #[test]
    fn every_target_has_an_architecture_and_other_gpus_have_none() {
        for name in TargetName::ALL {
            let target = Target::of(name);
            assert_eq!(Arch::for_target(target).is_some(), target.compute_capability.is_some(), "{name}");
        }
        assert_eq!(Arch::for_capability(9, 0), Some(Arch::Sm90a));
        for (major, minor) in [(8, 6), (8, 9), (10, 0), (12, 0)] {
            assert_eq!(Arch::for_capability(major, minor), None, "{major}.{minor}");
        }
    }
}
