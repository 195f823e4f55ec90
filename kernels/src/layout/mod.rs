//! Packed layouts: pack and unpack between row-major and a kernel's order.

use crate::encoded::{Encoded, EncodedRef};
use samp_abi::Layout;

/// Reorders a row-major tensor into `layout`.
pub fn pack(_tensor: EncodedRef<'_>, _layout: Layout) -> Encoded {
    todo!("layouts")
}

/// Reorders a tensor back into row-major; padding is dropped. `unpack(pack(t, l)) == t` byte for byte.
pub fn unpack(_tensor: EncodedRef<'_>) -> Encoded {
    todo!("layouts")
}
