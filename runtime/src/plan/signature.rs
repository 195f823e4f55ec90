//! Who vouches for a plan: the signature of its manifest, in minisign's format, which lies beside it.
//!
//! The manifest holds the hash of everything else, so its signature covers the whole plan. It is read only by
//! [`OpenPlan::verify`]: a plan opens with any signature, or none.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use samp_abi::plan::{MANIFEST_FILE, SIGNATURE_FILE, unseal};

use super::{MAX_MANIFEST_BYTES, OpenPlan};
use crate::{
    error_code,
    outside_file::{lies_at, read_regular, read_regular_text},
};

/// Files of keys and signatures are four lines at most.
const MAX_TEXT_BYTES: u64 = 16 << 10;

/// What the base64 of every key and signature begins with: the bytes `Ed`.
const SECRET: &str = "RW";
/// Digits of the base64 of a public key. A secret one has almost four times as many: what has a few too many is no key.
const PUBLIC_DIGITS: usize = 56;

/// A key that signatures are verified with, as `samp sign --generate-key` and `minisign -G` write it (`.pub`).
#[derive(Clone, Debug)]
pub struct PublicKey(minisign_verify::PublicKey);

/// Why a file gives no public key.
#[derive(Debug, thiserror::Error)]
pub enum PublicKeyError {
    /// It cannot be read.
    #[error("{path}: expected the file of a public key: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error(
        "{0}: expected a public key in minisign's format (a comment, then a line of base64 that begins with RW), found \
         something else; give the .pub file"
    )]
    Malformed(PathBuf),
    /// It is the half of a key that nobody else is to have.
    #[error("{0}: expected a public key, found a secret key; give the .pub file that was made with it")]
    Secret(PathBuf),
}

impl PublicKeyError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            PublicKeyError::Io { .. } => error_code::KEY_FILE,
            PublicKeyError::Malformed(_) | PublicKeyError::Secret(_) => error_code::NO_KEY,
        }
    }
}

impl PublicKey {
    /// Reads a key from its file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no public key.
    pub fn read(path: &Path) -> Result<PublicKey, PublicKeyError> {
        let text = read_regular_text(path, MAX_TEXT_BYTES).map_err(|source| match source.kind() {
            ErrorKind::InvalidData => PublicKeyError::Malformed(path.into()),
            _ => PublicKeyError::Io { path: path.into(), source },
        })?;
        PublicKey::decode(&text).ok_or_else(|| match text.lines().nth(1) {
            Some(line) if line.starts_with(SECRET) && line.len() > 2 * PUBLIC_DIGITS => {
                PublicKeyError::Secret(path.into())
            }
            _ => PublicKeyError::Malformed(path.into()),
        })
    }

    /// The key that the text of a file is, if it is one.
    pub fn decode(text: &str) -> Option<PublicKey> {
        minisign_verify::PublicKey::decode(text).ok().map(PublicKey)
    }
}

/// Why nobody vouches for a plan.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error(
        "{SIGNATURE_FILE}: expected a signature of the plan, found none; ask whoever made the plan for it, or sign \
             the plan with `samp sign` if that is you"
    )]
    Missing,
    /// The signature, or the manifest, cannot be read.
    #[error("{file}: it cannot be read: {source}")]
    Io {
        /// The file, relative to the plan.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What lies there is no signature.
    #[error("{SIGNATURE_FILE}: expected a signature in minisign's format, found something else")]
    Malformed,
    /// Another key signed it.
    #[error("{SIGNATURE_FILE}: expected a signature by the key that was given, found one by another key")]
    OtherKey,
    /// The signature is of another manifest.
    #[error(
        "{SIGNATURE_FILE}: expected a signature of this plan, found one that does not fit it: the plan was changed or \
         compiled again since, or the signature is forged"
    )]
    Wrong,
    /// The manifest is not the one that was opened.
    #[error("{MANIFEST_FILE}: expected the manifest as it was opened, found another")]
    Changed,
}

impl SignatureError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        error_code::NOT_SIGNED
    }
}

impl OpenPlan {
    /// Verifies that the holder of `key` signed this plan as it was opened.
    ///
    /// # Errors
    /// There is no such signature in the plan's folder.
    pub fn verify(&self, key: &PublicKey) -> Result<(), SignatureError> {
        use minisign_verify::Error::{UnexpectedKeyId, UnsupportedAlgorithm};
        let signature = minisign_verify::Signature::decode(&self.signature_text()?);
        let signature = signature.map_err(|_| SignatureError::Malformed)?;
        // Signatures of the format's first version are taken, too: `minisign -l` makes them.
        key.0.verify(&self.manifest_bytes()?, &signature, true).map_err(|error| match error {
            UnexpectedKeyId => SignatureError::OtherKey,
            UnsupportedAlgorithm => SignatureError::Malformed,
            _ => SignatureError::Wrong,
        })
    }

    fn signature_text(&self) -> Result<String, SignatureError> {
        let path = self.dir.join(SIGNATURE_FILE);
        read_regular_text(&path, MAX_TEXT_BYTES).map_err(|source| match source.kind() {
            ErrorKind::NotFound if !lies_at(&path) => SignatureError::Missing,
            ErrorKind::InvalidData | ErrorKind::InvalidInput => SignatureError::Malformed,
            _ => SignatureError::Io { file: SIGNATURE_FILE, source },
        })
    }

    /// The bytes of the manifest that was opened: the digest covers each of them.
    ///
    /// # Errors
    /// The file is no longer that manifest.
    pub fn manifest_bytes(&self) -> Result<Vec<u8>, SignatureError> {
        let bytes = read_regular(&self.dir.join(MANIFEST_FILE), MAX_MANIFEST_BYTES)
            .map_err(|source| SignatureError::Io { file: MANIFEST_FILE, source })?;
        let found = unseal(&bytes, |bytes| blake3::hash(bytes).to_hex().to_string());
        if found.is_ok_and(|found| found.digest == self.digest()) {
            Ok(bytes)
        } else {
            Err(SignatureError::Changed)
        }
    }
}
