//! A stored tensor that is held on to: its bytes stay mapped as long as it lives.

use std::sync::Arc;

use safetensors::Dtype;

use crate::import::shard::{Shard, TensorEntry};

/// A tensor of a file of weights.
#[derive(Clone, Debug)]
pub(in crate::import) struct StoredTensor {
    shard: Arc<Shard>,
    entry: TensorEntry,
    name: String,
}

impl StoredTensor {
    pub(in crate::import) fn new(shard: &Arc<Shard>, entry: &TensorEntry, name: &str) -> StoredTensor {
        StoredTensor { shard: shard.clone(), entry: entry.clone(), name: name.to_owned() }
    }

    pub(in crate::import) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::import) fn file(&self) -> &str {
        &self.shard.identity.name
    }

    pub(in crate::import) fn dtype(&self) -> Dtype {
        self.entry.dtype
    }

    pub(in crate::import) fn shape(&self) -> &[u64] {
        &self.entry.shape
    }

    /// Little-endian, row-major; on no particular boundary.
    pub(in crate::import) fn bytes(&self) -> &[u8] {
        self.shard.bytes(&self.entry)
    }

    /// Lets the system take back the memory behind the bytes.
    pub(in crate::import) fn release(&self) {
        self.shard.release(&self.entry);
    }

    /// The tensor as a number of elements, of whatever shape.
    pub(super) fn elements(&self) -> usize {
        self.entry.shape.iter().product::<u64>() as usize
    }

    /// The four bytes at a place, as a little-endian word.
    #[inline(always)]
    pub(super) fn word(&self, index: usize) -> u32 {
        let bytes = &self.bytes()[4 * index..][..4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}
