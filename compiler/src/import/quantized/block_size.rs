//! The blocks that share a scale.

use serde_json::Value;

/// Rows and columns of a block.
pub(super) fn block_size(value: &Value) -> Option<[usize; 2]> {
    let [rows, cols] = value.as_array()?.as_slice() else { return None };
    let size = |value: &Value| value.as_u64().filter(|size| (1..=1 << 20).contains(size));
    Some([size(rows)? as usize, size(cols)? as usize])
}
