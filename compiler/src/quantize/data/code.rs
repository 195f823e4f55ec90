//! Codes of findings about calibration data. Those of files as such are E08.

/// Chat records for a checkpoint without a chat template.
pub const NO_TEMPLATE: &str = "E1001";
/// The chat template refuses a record's messages, or cannot be used.
pub const TEMPLATE: &str = "E1002";
/// No tokenizer, or one that fails.
pub const TOKENIZER: &str = "E1003";
/// A mix that is malformed or names strata that the data does not have.
pub const MIX: &str = "E1004";
/// Too few records to calibrate on and to hold out.
pub const TOO_FEW: &str = "E1005";
/// A parquet file that cannot be read.
pub const PARQUET: &str = "E1006";

/// Records were cut.
pub const CUT: &str = "E1010";
/// Records were passed over.
pub const SKIPPED: &str = "E1011";
/// Strata that the mix leaves out.
pub const LEFT_OUT: &str = "E1012";
/// Strata with fewer tokens than the mix asks for.
pub const SHORT: &str = "E1013";
/// Calibration and held-out records overlap.
pub const OVERLAP: &str = "E1014";
/// Strata with few held-out records.
pub const FEW_HELD_OUT: &str = "E1015";
/// A stratum that is unlike the traffic.
pub const TRAFFIC: &str = "E1016";
