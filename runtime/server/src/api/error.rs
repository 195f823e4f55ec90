//! Errors as OpenAI's clients expect them.

use std::time::Duration;

use serde_json::{Value, json};

/// What kind of error it is: the status of the response, and `type` in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request makes no sense.
    Invalid,
    /// The key is missing or wrong.
    Unauthorized,
    /// There is no such model or page.
    NotFound,
    /// The method is another.
    Method,
    /// The body did not come in time.
    Timeout,
    /// The body is too large.
    TooLarge,
    /// The queue is full.
    Full,
    /// The server is ending, or not there yet.
    Unavailable,
    /// The server failed.
    Failed,
}

impl ErrorKind {
    /// The status of the response.
    pub fn status(self) -> u16 {
        match self {
            ErrorKind::Invalid => 400,
            ErrorKind::Unauthorized => 401,
            ErrorKind::NotFound => 404,
            ErrorKind::Method => 405,
            ErrorKind::Timeout => 408,
            ErrorKind::TooLarge => 413,
            ErrorKind::Full => 429,
            ErrorKind::Failed => 500,
            ErrorKind::Unavailable => 503,
        }
    }

    fn name(self) -> &'static str {
        match self {
            ErrorKind::Unauthorized => "authentication_error",
            ErrorKind::Full => "rate_limit_error",
            ErrorKind::Unavailable | ErrorKind::Failed => "server_error",
            _ => "invalid_request_error",
        }
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// What was given, what was expected, and what to do.
    pub message: String,
    /// The field that is wrong.
    pub param: Option<String>,
    /// A word for programs.
    pub code: Option<&'static str>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ApiError {
        ApiError { kind, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// A field with a wrong value.
    pub fn field(name: &str, message: impl std::fmt::Display) -> ApiError {
        let message = format!("{name}: {message}");
        ApiError { param: Some(name.to_owned()), ..ApiError::new(ErrorKind::Invalid, message) }
    }

    /// An error of what lies at a place: of `tools[0]`, say. A field without a name is the place itself.
    pub fn within(self, place: &str) -> ApiError {
        let of = |inner: &str| {
            let dot = if inner.is_empty() || inner.starts_with([':', '[']) { "" } else { "." };
            format!("{place}{dot}{inner}")
        };
        let param = Some(of(self.param.as_deref().unwrap_or_default()));
        ApiError { param, message: of(&self.message), ..self }
    }

    /// The same with a word for programs.
    pub fn with_code(self, code: &'static str) -> ApiError {
        ApiError { code: Some(code), ..self }
    }

    /// The body of the response, or of an event in a stream.
    pub fn body(&self) -> Value {
        json!({ "error": {
            "message": self.message, "type": self.kind.name(), "param": self.param, "code": self.code,
        }})
    }
}
