//! What `samp -V` and `samp --version` say.

use std::sync::LazyLock;

use samp_abi::plan::SCHEMA_VERSION;
use samp_compiler::certificate::{CERTIFICATE_VERSION, PROFILE_VERSION};

/// The version, and the commit if it is known, in one line.
pub const SHORT: &str = env!("SAMP_VERSION");
/// The commit that this was built of, or `unknown`.
const COMMIT: &str = env!("SAMP_BUILD_COMMIT");

/// The version with the commit, the schemas that are written, and the optional features of this build, in lines.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    let parquet: &[&str] = if cfg!(feature = "parquet") { &["parquet"] } else { &[] };
    let features = [samp_runtime::FEATURES, parquet].concat();
    format!(
        "{}\n\
         commit              {COMMIT}\n\
         plan schema         {SCHEMA_VERSION}\n\
         certificate schema  {CERTIFICATE_VERSION}\n\
         profile schema      {PROFILE_VERSION}\n\
         features            {}",
        env!("CARGO_PKG_VERSION"),
        if features.is_empty() { "none".into() } else { features.join(", ") }
    )
});
