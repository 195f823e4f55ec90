//! API keys.

use std::path::Path;

use axum::http::{HeaderMap, header::AUTHORIZATION};

use crate::{
    api::{ApiError, ErrorKind},
    error::ServeError,
};

/// The keys that a client may show; without any, every client may ask.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys {
    /// Hashes compare in constant time, whatever a client guesses and however long it is.
    hashes: Vec<blake3::Hash>,
}

impl ApiKeys {
    /// These keys.
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k str>) -> ApiKeys {
        ApiKeys { hashes: keys.into_iter().map(|key| blake3::hash(key.as_bytes())).collect() }
    }

    /// The keys of a file, one a line, and others.
    pub fn read(file: Option<&Path>, others: &[String]) -> Result<ApiKeys, ServeError> {
        let text = match file {
            None => String::new(),
            Some(path) => {
                let wrong = |found: String| ServeError::KeyFile { path: path.display().to_string(), found };
                let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
                if text.lines().all(|line| line.trim().is_empty()) {
                    return Err(wrong("none".into()));
                }
                text
            }
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(ApiKeys::new(lines.chain(others.iter().map(String::as_str))))
    }

    /// Refuses a client that shows none of the keys.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.hashes.is_empty() {
            return Ok(());
        }
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let shown = blake3::hash(shown.trim().as_bytes());
        // All are compared, so that the time does not say which one it was.
        let known = self.hashes.iter().fold(false, |known, hash| known | (*hash == shown));
        if known {
            return Ok(());
        }
        let message = "expected the header Authorization: Bearer with a key of this server";
        Err(ApiError::new(ErrorKind::Unauthorized, message).with_code("invalid_api_key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_keys_open() {
        let keys = ApiKeys::new(["one", "two"]);
        let shown = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            keys.check(&headers).is_ok()
        };
        assert!(shown("Bearer one") && shown("Bearer two"));
        assert!(!shown("Bearer three") && !shown("Bearer ") && !shown("one") && !shown("Bearer onetwo"));
        assert!(keys.check(&HeaderMap::new()).is_err());
        assert!(ApiKeys::default().check(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_file_has_a_key_on_each_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, "one\n\n two \n").unwrap();
        assert_eq!(ApiKeys::read(Some(&path), &["three".into()]).unwrap().hashes.len(), 3);
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(ApiKeys::read(Some(&path), &[]), Err(ServeError::KeyFile { .. })));
        assert!(ApiKeys::read(Some(&dir.path().join("none")), &[]).is_err());
    }
}
