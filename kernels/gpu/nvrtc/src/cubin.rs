//! Machine code as the compiler gives it and the cache keeps it.

use crate::Report;

/// Machine code of one kernel for one architecture.
#[derive(Clone, PartialEq, Eq)]
pub struct Cubin {
    /// An ELF file, as the driver loads it.
    pub bytes: Vec<u8>,
    /// What the code takes.
    pub report: Report,
    /// The compiler's log, without the time it took.
    pub log: String,
}

impl std::fmt::Debug for Cubin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cubin {{ {} bytes, {:?} }}", self.bytes.len(), self.report)
    }
}
