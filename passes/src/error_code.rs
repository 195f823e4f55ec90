//! Stable codes of what the passes refuse or warn of. Each is declared here, once in the workspace, and means one thing.

/// No rule of the recipe matches a projection.
pub const UNMATCHED_PROJECTION: &str = "E0401";
/// A rule of the recipe matches no projection.
pub const UNUSED_RULE: &str = "E0402";
/// Members of one fused weight were given different formats.
pub const MEMBERS_DISAGREE: &str = "E0405";
/// A format does not divide the input channels of a weight.
pub const COLUMN_MULTIPLE: &str = "E0406";
/// Nothing is known of the outlier columns of a weight.
pub const NO_OUTLIERS: &str = "E0407";
/// Later rules decide for every projection that a rule matches (warning).
pub const OVERRIDDEN_RULE: &str = "E0408";
/// A measurement names a weight that the graph does not have.
pub const UNKNOWN_WEIGHT: &str = "E0409";
/// No assignment of formats satisfies the constraints.
pub const INFEASIBLE: &str = "E0410";
/// A matrix of the graph was not measured.
pub const UNMEASURED: &str = "E0411";
/// A weight that is to be split has a transform that is not known.
pub const UNKNOWN_TRANSFORM: &str = "E0413";
/// The target has no kernel for a kind of op.
pub const NO_KERNEL_FOR_OP: &str = "E0501";
/// No layout of a format serves every user of a weight.
pub const NO_LAYOUT: &str = "E0502";
/// The target has no kernel for the shape of an op.
pub const NO_KERNEL_FOR_SHAPE: &str = "E0503";
/// The residual stream cannot be rotated.
pub const UNROTATED: &str = "E0504";
/// Weights are plainly stored in two types, of which activations can have only one.
pub const MIXED_ACTIVATIONS: &str = "E0505";
/// A tensor of the most tokens does not fit 64-bit addresses.
pub const ADDRESS_OVERFLOW: &str = "E0601";
