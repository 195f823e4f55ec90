//! Profiles as files.

use std::{
    io,
    path::{Path, PathBuf},
};

use samp_ir::Diagnostic;
use samp_runtime::{
    outside_file::read_regular_text,
    path_kind::{FileKind, PathKind, Wanted},
};

use super::profile::Profile;
use crate::{error_code, whole_file::write_whole, wrong_path::expect_path};

/// What a path to a profile is to lead to.
const PROFILE_FILE: Wanted = Wanted::File("a profile", &[".json"]);
/// Larger files are refused; the profile of a model of 70 B weights takes a few megabytes.
const MAX_PROFILE_BYTES: u64 = 1 << 28;

/// Why a profile was not written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub struct ProfileWriteError {
    /// What was tried, such as `writing`.
    pub action: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl ProfileWriteError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        error_code::PROFILE_NOT_WRITTEN
    }
}

impl Profile {
    /// Reads a profile's file.
    pub fn read(path: &Path) -> Result<Profile, Diagnostic> {
        let file = path.display().to_string();
        let found = expect_path(path, PROFILE_FILE, error_code::PROFILE)?;
        if let PathKind::File(kind) = found
            && !matches!(kind, FileKind::Profile | FileKind::Json | FileKind::Other)
        {
            let message = format!("expected a profile, found {}", kind.noun());
            return Err(Diagnostic::bad_input(error_code::PROFILE, message)
                .in_file(file)
                .hint("give a file that samp measure wrote"));
        }
        let text = read_regular_text(path, MAX_PROFILE_BYTES).map_err(|e| {
            Diagnostic::of_io(error_code::PROFILE, format!("expected a readable profile, found: {e}"), &e)
                .in_file(&file)
        })?;
        Profile::parse(&text, &file)
    }

    /// Writes the profile in one step: a reader finds the old file or the new one.
    pub fn write(&self, path: &Path) -> Result<(), ProfileWriteError> {
        let text = serde_json::to_string_pretty(self).expect("finite numbers and string keys") + "\n";
        let failed = |source| ProfileWriteError { action: "writing", path: path.into(), source };
        write_whole(path, text.as_bytes()).map_err(failed)
    }
}
