//! Codes of the diagnostics that import gives.

/// A file cannot be read.
pub const UNREADABLE: &str = "E0301";
/// A file is not the JSON object that it should be.
pub const JSON: &str = "E0302";
/// A key of `config.json` has a wrong value, or contradicts another.
pub const CONFIG_VALUE: &str = "E0303";
/// A key of `config.json` is missing.
pub const CONFIG_MISSING: &str = "E0304";
/// A key of `config.json` is not known.
pub const CONFIG_KEY: &str = "E0305";
/// `config.json` asks for something that samp does not compile.
pub const UNSUPPORTED: &str = "E0306";
/// The context is longer than the model was trained for (warning).
pub const CONTEXT: &str = "E0307";
/// A directory has no weights, or more than one set.
pub const WEIGHTS: &str = "E0310";
/// A safetensors file contradicts its format.
pub const SAFETENSORS: &str = "E0311";
/// The index of a sharded checkpoint contradicts its format or the shards.
pub const INDEX: &str = "E0312";
/// A file changed after it was opened.
pub const CHANGED: &str = "E0313";
/// The tensors are not the ones that the architecture has.
pub const BINDING: &str = "E0320";
/// Tensors that are left out because nothing reads them (warning).
pub const LEFT_OUT: &str = "E0321";
/// A file that text needs is missing or damaged.
pub const CARRIED: &str = "E0330";
