//! BLAKE3 in hex, as the manifest writes it.

/// Hash of `bytes`, on this thread.
pub(super) fn blake3_hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Hash of `bytes`, shared out over the current rayon pool.
pub(super) fn blake3_hex_parallel(bytes: &[u8]) -> String {
    blake3::Hasher::new().update_rayon(bytes).finalize().to_hex().to_string()
}

/// The same of several arrays, one after another.
pub(super) fn blake3_hex_of_parts(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update_rayon(part);
    }
    hasher.finalize().to_hex().to_string()
}
