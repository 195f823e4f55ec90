//! The text form of a manifest. Its digest covers every byte, so that no change to it goes unseen.

use serde::Deserialize;

use super::{Plan, SCHEMA_VERSION, Version};

/// What stands before the 64 hex digits of the digest.
pub const DIGEST_PREFIX: &str = "\"digest\": \"";
const HEX_DIGITS: usize = 64;

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not UTF-8, not JSON, or not the schema.
    #[error("plan.json is not a plan manifest: {0}; compile the model again")]
    Malformed(String),
    /// Another major version, or one that this build does not know.
    #[error(
        "plan.json has schema version {found}, expected {expected} or a compatible one; \
         compile the model again with this version of samp, or use the version that made the plan"
    )]
    Version {
        /// What this build reads.
        expected: Version,
        /// What the file says.
        found: Version,
    },
    /// The digest does not match the text.
    #[error(
        "plan.json does not match its own digest: expected {expected}, found {found}; the file was changed or damaged"
    )]
    Digest {
        /// What the file says.
        expected: String,
        /// What its text gives.
        found: String,
    },
}

/// The manifest's text with its digest set; `hash` gives the BLAKE3 of bytes in hex.
pub fn seal(plan: &Plan, hash: impl Fn(&[u8]) -> String) -> String {
    let zeroed = Plan { digest: "0".repeat(HEX_DIGITS), ..plan.clone() };
    let mut text =
        serde_json::to_string_pretty(&zeroed).expect("a plan has only string keys and finite numbers");
    text.push('\n');
    let at = text.find(DIGEST_PREFIX).expect("the digest is a field of the plan") + DIGEST_PREFIX.len();
    let digest = hash(text.as_bytes());
    text.replace_range(at..at + HEX_DIGITS, &digest);
    text
}

/// Reads a manifest: first its version, then its digest, then the rest.
pub fn unseal(bytes: &[u8], hash: impl Fn(&[u8]) -> String) -> Result<Plan, ManifestError> {
    let malformed = |e: &dyn std::fmt::Display| ManifestError::Malformed(e.to_string());
    check_version(bytes)?;
    let text = std::str::from_utf8(bytes).map_err(|e| malformed(&e))?;
    let at = text.find(DIGEST_PREFIX).ok_or_else(|| malformed(&"it has no digest"))? + DIGEST_PREFIX.len();
    let expected =
        text.get(at..at + HEX_DIGITS).ok_or_else(|| malformed(&"its digest is cut short"))?.to_owned();
    let mut zeroed = bytes.to_vec();
    zeroed[at..at + HEX_DIGITS].fill(b'0');
    let found = hash(&zeroed);
    if expected != found {
        return Err(ManifestError::Digest { expected, found });
    }
    serde_json::from_str(text).map_err(|e| malformed(&e))
}

/// The version is read leniently, so that a plan of a later schema is refused for that reason.
fn check_version(bytes: &[u8]) -> Result<(), ManifestError> {
    #[derive(Deserialize)]
    struct Head {
        schema: Version,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|e| ManifestError::Malformed(e.to_string()))?;
    let (expected, found) = (SCHEMA_VERSION, head.schema);
    if found.major != expected.major || found.minor > expected.minor {
        return Err(ManifestError::Version { expected, found });
    }
    Ok(())
}
