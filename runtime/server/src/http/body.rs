//! Bodies: read whole, up to a size, within a time.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;

use crate::api::{ApiError, ErrorKind};

/// How large a request may be, and how long it may take to come.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes of a body.
    pub bytes: usize,
    /// For all of the body.
    pub time: Duration,
}

impl BodyLimits {
    /// Reads a body.
    pub async fn read(&self, body: Body) -> Result<Bytes, ApiError> {
        match tokio::time::timeout(self.time, to_bytes(body, self.bytes)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => {
                let message =
                    format!("the body could not be read, or has more than {} bytes: {error}", self.bytes);
                Err(ApiError::new(ErrorKind::TooLarge, message))
            }
            Err(_) => {
                let message = format!("the body did not come within {} seconds", self.time.as_secs());
                Err(ApiError::new(ErrorKind::Timeout, message))
            }
        }
    }
}
