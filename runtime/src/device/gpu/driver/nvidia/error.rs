//! What the driver answers, as errors that say what was asked.

use cudarc::driver::{result, sys::CUresult};

use super::super::DriverError;

/// Says what was being done where the driver refused.
pub(super) trait Answered<T> {
    /// The result, or [`DriverError::Failed`].
    fn during(self, during: &'static str) -> Result<T, DriverError>;
}

impl<T> Answered<T> for Result<T, result::DriverError> {
    fn during(self, during: &'static str) -> Result<T, DriverError> {
        self.map_err(|error| DriverError::Failed { during, reason: reason(error) })
    }
}

/// The code and what the driver says of it. Needs the driver's library.
pub(super) fn reason(error: result::DriverError) -> String {
    match error.error_string() {
        Ok(text) => format!("{:?}, {}", error.0, text.to_string_lossy()),
        Err(_) => format!("{:?}", error.0),
    }
}

/// Why an allocation was refused; `free` is asked only where memory ran out.
pub(super) fn not_allocated(
    error: result::DriverError,
    what: &'static str,
    bytes: u64,
    free: impl FnOnce() -> u64,
) -> DriverError {
    if error.0 != CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        return DriverError::Failed { during: "allocating memory", reason: reason(error) };
    }
    let remedy = "end what else runs on this GPU, keep fewer tokens in the cache, or compile the model to fit \
                  by `--max-memory`";
    DriverError::Memory { what, bytes, free: free(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_ran_out_is_named_with_its_size_and_what_is_free() {
        let refused = result::DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        let error = not_allocated(refused, "KV cache", 90 << 30, || 12 << 30);
        let expected = "the KV cache needs 96636764160 bytes of GPU memory, of which 12884901888 are free; ";
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(error.to_string().contains("--max-memory"), "{error}");
    }
}
