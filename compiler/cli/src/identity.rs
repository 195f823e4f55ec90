//! The flags that say which plan is expected: its digest, and who signed it.

use std::path::PathBuf;

use samp_abi::plan::SIGNATURE_FILE;
use samp_runtime::{OpenPlan, PublicKey, SignatureError};

/// What stands before a digest's digits.
const ALGORITHM: &str = "blake3:";

/// Which plan is expected.
#[derive(clap::Args)]
pub struct IdentityArgs {
    /// Refuse a plan with another digest; `samp compile` and `samp inspect` print it
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    digest: Option<String>,
    /// Refuse a plan that was not signed with the key of this public key's file (see `samp sign`)
    #[arg(long, value_name = "FILE.pub")]
    key: Option<PathBuf>,
}

/// Why a plan is not the one that is expected.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It has another digest.
    #[error("expected the plan {ALGORITHM}{expected}, found {ALGORITHM}{found}: this is another plan")]
    Digest {
        /// In 64 hex digits.
        expected: String,
        /// In 64 hex digits.
        found: String,
    },
    /// Nobody who was named vouches for it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl IdentityError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            IdentityError::Digest { .. } => samp_runtime::error_code::OTHER_PLAN,
            IdentityError::Signature(refusal) => refusal.code(),
        }
    }

    /// The stable name of this kind of finding, for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            IdentityError::Digest { .. } => "digest",
            IdentityError::Signature(_) => "signature",
        }
    }

    /// The file of the plan that it is about.
    pub fn file(&self) -> &'static str {
        match self {
            IdentityError::Digest { .. } => samp_abi::plan::MANIFEST_FILE,
            IdentityError::Signature(_) => SIGNATURE_FILE,
        }
    }
}

impl IdentityArgs {
    /// In what the plan is not the expected one.
    ///
    /// # Errors
    /// The file of the public key cannot be used.
    pub fn differences(&self, plan: &OpenPlan) -> anyhow::Result<Vec<IdentityError>> {
        let mut differences = vec![];
        if let Some(expected) = self.digest.as_ref().filter(|expected| *expected != plan.digest()) {
            let found = plan.digest().to_owned();
            differences.push(IdentityError::Digest { expected: expected.clone(), found });
        }
        if let Some(path) = &self.key {
            let verified = plan.verify(&PublicKey::read(path)?);
            differences.extend(verified.err().map(IdentityError::Signature));
        }
        Ok(differences)
    }

    /// Refuses a plan that is not the expected one.
    ///
    /// # Errors
    /// The first difference, as an [`IdentityError`].
    pub fn require(&self, plan: &OpenPlan) -> anyhow::Result<()> {
        self.differences(plan)?.into_iter().next().map_or(Ok(()), |difference| Err(difference.into()))
    }
}

/// Reads a digest in full: a part of one names no plan.
fn digest(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix(ALGORITHM).unwrap_or(text);
    if digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_lowercase());
    }
    let found = digits.chars().count();
    Err(format!("expected 64 hex digits, alone or after `{ALGORITHM}`, found {found} characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_in_full_and_in_either_form() {
        let digits = "0123456789abcdef".repeat(4);
        for text in [digits.clone(), format!("blake3:{digits}"), digits.to_uppercase()] {
            assert_eq!(digest(&text), Ok(digits.clone()), "{text}");
        }
        for text in [
            "",
            "blake3:",
            &digits[..63],
            &format!("{digits}0"),
            &"g".repeat(64),
            &format!("sha256:{digits}"),
        ] {
            assert!(digest(text).unwrap_err().starts_with("expected 64 hex digits"), "{text}");
        }
    }
}
