//! Stable codes of what the command refuses or warns of. Each is declared here, once in the workspace, and means one thing.

/// The measurements of the certificate give no front.
pub const NO_FRONT: &str = "E1201";
