//! Secret keys: making and reading them.

use std::{
    ffi::OsString,
    fmt, fs,
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use minisign::{ErrorKind, KeyPair, PError, SecretKey, SecretKeyBox};
use samp_runtime::{PublicKey, outside_file::read_regular_text};
use serde::Serialize;

use crate::{error_code, output::in_line};

/// Where the password of an encrypted key may stand.
const PASSWORD: &str = "SAMP_KEY_PASSWORD";
/// What the base64 of an encrypted key begins with: the bytes `Ed`, `Sc` (by scrypt) and `B2`.
const ENCRYPTED: &str = "RWRTY0Iy";
/// A key's file has two lines.
const MAX_KEY_BYTES: u64 = 16 << 10;

/// Why nothing was signed, or no key made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// There is a signature already.
    #[error("{0} exists; pass --force to replace it")]
    Signed(PathBuf),
    /// What was given names no files.
    #[error(
        "--generate-key: expected what the names of both files begin with, such as keys/release, found {0}, which does \
         not end in a name"
    )]
    NoName(PathBuf),
    /// There is a key of that name already.
    #[error("{0} exists and is not replaced: what it signed would have no key; choose another name")]
    KeyExists(PathBuf),
    /// A key cannot be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried, such as `reading`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is the other half of a key.
    #[error(
        "{0}: expected a secret key, found a public key, which verifies and signs nothing; give the .key file that was \
         made with it"
    )]
    Public(PathBuf),
    /// The file is no secret key.
    #[error(
        "{path}: expected a secret key in minisign's format, found something else ({found}); give the .key file that \
         --generate-key made"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What reading it came upon.
        found: PError,
    },
    /// The password is not the key's.
    #[error("{0}: expected the password of this key, found another")]
    WrongPassword(PathBuf),
    /// Nobody can be asked for a password.
    #[error("{path} is encrypted and its password cannot be asked for ({source}); set {PASSWORD}")]
    NoPassword {
        /// The key's file.
        path: PathBuf,
        /// Why nobody can be asked.
        source: io::Error,
    },
    /// Keys cannot be made here.
    #[error("making a key: {0}")]
    Generate(PError),
}

impl SignError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            SignError::Signed(_) => error_code::SIGNED,
            SignError::NoName(_) => error_code::USAGE,
            SignError::KeyExists(_) => error_code::KEY_EXISTS,
            SignError::Io { .. } | SignError::Generate(_) => samp_runtime::error_code::KEY_FILE,
            SignError::Malformed { .. } | SignError::Public(_) => samp_runtime::error_code::NO_KEY,
            SignError::WrongPassword(_) | SignError::NoPassword { .. } => error_code::KEY_PASSWORD,
        }
    }
}

/// A key that was made.
#[derive(Serialize, schemars::JsonSchema)]
pub struct GeneratedKey {
    secret_key: PathBuf,
    public_key: PathBuf,
    encrypted: bool,
}

impl fmt::Display for GeneratedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secret, public) = (in_line(&self.secret_key), in_line(&self.public_key));
        let how = if self.encrypted { "encrypted" } else { "not encrypted" };
        writeln!(f, "{secret}: signs plans; {how}, to be kept secret")?;
        writeln!(f, "{public}: verifies them; to be given to others")
    }
}

/// Makes `NAME.key`, for its owner alone, and `NAME.pub`. Neither is ever overwritten.
pub fn generate(name: &Path) -> Result<GeneratedKey, SignError> {
    // `keys/` would make the hidden files `keys/.key` and `keys/.pub`.
    if name.file_name().is_none() || name.as_os_str().as_bytes().ends_with(b"/") {
        return Err(SignError::NoName(name.into()));
    }
    let with = |ending: &str| {
        let mut path = OsString::from(name);
        path.push(ending);
        PathBuf::from(path)
    };
    let (secret_key, public_key) = (with(".key"), with(".pub"));
    if let Some(taken) = [&secret_key, &public_key].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(SignError::KeyExists(taken.clone()));
    }
    let password = std::env::var(PASSWORD).ok();
    let encrypted = password.is_some();
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let KeyPair { pk, sk } = pair.map_err(SignError::Generate)?;
    let secret = sk.to_box(Some("samp secret key")).map_err(SignError::Generate)?;
    let public = pk.to_box().map_err(SignError::Generate)?;
    create(&secret_key, &secret.into_string(), 0o600)?;
    if let Err(error) = create(&public_key, &public.into_string(), 0o666) {
        // Half a pair is of no use, and nothing was signed with it yet.
        let _ = fs::remove_file(&secret_key);
        return Err(error);
    }
    Ok(GeneratedKey { secret_key, public_key, encrypted })
}

/// Writes a new file as a whole; `mode` is what the process' own mask takes from.
fn create(path: &Path, text: &str, mode: u32) -> Result<(), SignError> {
    let failed = |source| SignError::Io { action: "writing", path: path.into(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".key")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist_noclobber(path).map(drop).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => SignError::KeyExists(path.into()),
        _ => failed(error.error),
    })
}

/// Reads a secret key; the password of an encrypted one comes from the environment or from the terminal.
pub fn read(path: &Path) -> Result<SecretKey, SignError> {
    let text = read_regular_text(path, MAX_KEY_BYTES).map_err(|source| SignError::Io {
        action: "reading",
        path: path.into(),
        source,
    })?;
    if PublicKey::decode(&text).is_some() {
        return Err(SignError::Public(path.into()));
    }
    let encrypted = text.lines().nth(1).is_some_and(|line| line.starts_with(ENCRYPTED));
    let key = SecretKeyBox::from(text);
    let read = if encrypted {
        key.into_secret_key(Some(password(path)?))
    } else {
        key.into_unencrypted_secret_key()
    };
    read.map_err(|found| match found.kind() {
        ErrorKind::Verify if encrypted => SignError::WrongPassword(path.into()),
        _ => SignError::Malformed { path: path.into(), found },
    })
}

fn password(path: &Path) -> Result<String, SignError> {
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(password);
    }
    let prompt = format!("password of {}: ", in_line(path));
    rpassword::prompt_password(prompt).map_err(|source| SignError::NoPassword { path: path.into(), source })
}
