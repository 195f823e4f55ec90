//! Targets by name; what each can do stands in the kernels crate's target table.

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

crate::named_enum! {
    TargetName, "target", ParseTargetError {
        (TargetName::Cpu) => "cpu",
        (TargetName::A100) => "a100",
        (TargetName::H100) => "h100",
        (TargetName::H200) => "h200",
    }
}
