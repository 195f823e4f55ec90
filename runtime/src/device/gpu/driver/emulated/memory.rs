//! What launches on the emulated GPU name: its memory and its kernels.

use std::sync::{Arc, OnceLock};

use samp_emulator::Buffer;
use samp_kernels::cuda::Source;

use super::super::Arg;

/// The end of a buffer lies on a page; so its start lies on a boundary that the size is a multiple of.
const ALIGNMENT: u64 = 256;

/// Memory of the emulated GPU; what is recorded keeps it.
#[derive(Clone)]
pub struct EmulatedMemory {
    /// Where `_owner` begins. Kernels and copies reach it by address alone.
    start: *mut u8,
    bytes: u64,
    _owner: Arc<Buffer<u8>>,
}

// SAFETY: the memory belongs to this value and what was recorded with it. Only the driver reaches it, which no two threads
// have at a time.
unsafe impl Send for EmulatedMemory {}

impl EmulatedMemory {
    /// New memory that holds zeros.
    pub(super) fn zeroed(bytes: u64) -> EmulatedMemory {
        let mut owner = Buffer::<u8>::poisoned(bytes.max(1).next_multiple_of(ALIGNMENT) as usize);
        owner.fill(0);
        EmulatedMemory { start: owner.as_mut_ptr(), bytes, _owner: Arc::new(owner) }
    }

    /// The address of a range. Panics unless it lies inside.
    pub(super) fn range(&self, offset: u64, bytes: u64) -> *mut u8 {
        let end = offset.checked_add(bytes);
        let (from, all) = (offset, self.bytes);
        assert!(end.is_some_and(|end| end <= all), "{bytes} bytes from {from} on are not within {all}");
        // SAFETY: the range lies inside of the buffer, as was just seen.
        unsafe { self.start.add(offset as usize) }
    }
}

/// A kernel that is compiled when it is first launched: few of a plan's are.
#[derive(Clone)]
pub struct EmulatedKernel {
    pub(super) source: Source,
    pub(super) compiled: Arc<OnceLock<samp_emulator::Kernel>>,
}

/// An argument as the emulator takes it.
pub(super) fn argument<'a>(arg: &Arg<'a, EmulatedMemory>) -> samp_emulator::Arg<'a> {
    match *arg {
        Arg::Memory { memory, offset, bytes } => {
            let start = memory.range(offset, bytes);
            // SAFETY: the range lies inside of memory that outlives the launch, and nothing but the kernel reaches it.
            unsafe { samp_emulator::Arg::memory(start, bytes as usize, true) }
        }
        Arg::Null => samp_emulator::Arg::null(),
        Arg::I32(value) => value.into(),
        Arg::F32(value) => value.into(),
    }
}
