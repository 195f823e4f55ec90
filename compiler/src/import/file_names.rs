//! Names of a checkpoint's files.

/// What the model is.
pub(super) const CONFIG: &str = "config.json";
/// The file of an unsharded checkpoint.
pub const SINGLE_FILE: &str = "model.safetensors";
/// The file that names the shards of a sharded one.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
