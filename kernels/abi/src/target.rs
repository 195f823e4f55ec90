//! Targets by name; what each can do stands in the kernels crate's target table.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The machine a plan is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TargetName {
    /// Any CPU: kernels find the vector width at run time and give the same bits at every width.
    Cpu,
    /// NVIDIA A100 (sm_80).
    A100,
    /// NVIDIA H100 (sm_90a).
    H100,
    /// NVIDIA H200 (sm_90a).
    H200,
}

impl TargetName {
    /// Every target.
    pub const ALL: [TargetName; 4] = [TargetName::Cpu, TargetName::A100, TargetName::H100, TargetName::H200];

    /// The canonical name.
    pub const fn name(self) -> &'static str {
        match self {
            TargetName::Cpu => "cpu",
            TargetName::A100 => "a100",
            TargetName::H100 => "h100",
            TargetName::H200 => "h200",
        }
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A target name that samp does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown target `{0}`; known are cpu, a100, h100, h200")]
pub struct ParseTargetError(pub String);

impl FromStr for TargetName {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<TargetName, ParseTargetError> {
        TargetName::ALL.into_iter().find(|t| t.name() == text).ok_or_else(|| ParseTargetError(text.into()))
    }
}
