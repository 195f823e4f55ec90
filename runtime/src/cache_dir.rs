//! Where things are kept that can be made again.

use std::{env, path::PathBuf};

/// A folder for things of one kind: below `SAMP_CACHE`, or `samp` in the user's folder of caches; without either, below the
/// system's folder for temporary files. It need not exist.
pub fn cache_dir(kind: &str) -> PathBuf {
    let named = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = || named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let root = named("SAMP_CACHE").unwrap_or_else(|| user().unwrap_or_else(env::temp_dir).join("samp"));
    root.join(kind)
}
