//! The error codes of all crates, joined.

use samp_abi::ErrorCode;

/// Every code that `samp` can give, in the order of the codes.
pub fn error_table() -> Vec<ErrorCode> {
    let tables = [
        samp_ir::error_code::TABLE,
        samp_passes::error_code::TABLE,
        samp_compiler::error_code::TABLE,
        crate::error_code::TABLE,
    ];
    let mut all: Vec<ErrorCode> = tables.concat();
    all.sort_by_key(|entry| entry.code);
    all
}
