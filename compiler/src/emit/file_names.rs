//! Names of files of a plan that the compiler alone writes.

/// The file that shows the planned graph to people.
pub const GRAPH_FILE: &str = "plan.mlir";
/// The file that says what is known of the plan's precision.
pub const CERTIFICATE_FILE: &str = "certificate.json";
