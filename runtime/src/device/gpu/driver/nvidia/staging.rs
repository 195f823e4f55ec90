//! Copies between host and GPU, through pinned memory.

use std::sync::Arc;

use cudarc::driver::{
    result::{memcpy_dtoh_async, memcpy_htod_async},
    sys::CUdeviceptr,
};
use rayon::prelude::*;

use super::{super::DriverError, context::Context, error::Answered, event::Event, memory::Pinned};

/// Two halves for what goes to the GPU: one is filled while the other is copied. A smaller piece for what comes back.
pub(super) struct Staging {
    context: Arc<Context>,
    halves: [Half; 2],
    current: usize,
    /// Bytes of the current half that were handed to the GPU.
    filled: usize,
    landing: Pinned,
}

struct Half {
    memory: Pinned,
    /// Reached when all of it is copied.
    copied: Event,
}

const HALF_BYTES: usize = 32 << 20;
const LANDING_BYTES: usize = 4 << 20;
/// Where pieces begin, so that the GPU reads whole lines of the host's cache.
const ALIGNMENT: usize = 256;
/// What one thread fills at a time; smaller pieces are not shared out.
const SHARE_BYTES: usize = 1 << 20;

impl Staging {
    pub fn new(context: &Arc<Context>) -> Result<Staging, DriverError> {
        let half = || -> Result<Half, DriverError> {
            Ok(Half { memory: Pinned::new(context, HALF_BYTES)?, copied: Event::untimed(context)? })
        };
        let (halves, landing) = ([half()?, half()?], Pinned::new(context, LANDING_BYTES)?);
        Ok(Staging { context: context.clone(), halves, current: 0, filled: 0, landing })
    }

    /// Copies `bytes` to the GPU. They may be reused when this returns, and the copy be still under way.
    pub fn upload(&mut self, mut to: CUdeviceptr, mut bytes: &[u8]) -> Result<(), DriverError> {
        let stream = self.context.stream()?;
        while !bytes.is_empty() {
            let room = HALF_BYTES - self.filled;
            let (piece, rest) = bytes.split_at(bytes.len().min(room));
            let staged = &mut self.halves[self.current].memory.bytes()[self.filled..][..piece.len()];
            fill(staged, piece);
            // SAFETY: the caller's range on the GPU takes the piece, and `swap_halves` keeps what is staged until it is copied.
            unsafe { memcpy_htod_async(to, staged, stream) }.during("copying to the GPU")?;
            self.filled = (self.filled + piece.len()).next_multiple_of(ALIGNMENT);
            if self.filled == HALF_BYTES {
                self.swap_halves()?;
            }
            (to, bytes) = (to + piece.len() as u64, rest);
        }
        Ok(())
    }

    /// Goes on with the other half, when all of it has been copied.
    fn swap_halves(&mut self) -> Result<(), DriverError> {
        self.halves[self.current].copied.record()?;
        self.current = 1 - self.current;
        self.filled = 0;
        self.halves[self.current].copied.wait()
    }

    /// Copies from the GPU after all work before.
    pub fn download(&mut self, mut from: CUdeviceptr, bytes: &mut [u8]) -> Result<(), DriverError> {
        let stream = self.context.stream()?;
        for piece in bytes.chunks_mut(LANDING_BYTES) {
            let landed = &mut self.landing.bytes()[..piece.len()];
            // SAFETY: the caller's range on the GPU holds the piece; nothing touches what lands until it is waited for.
            unsafe { memcpy_dtoh_async(landed, from, stream) }.during("copying from the GPU")?;
            self.context.wait("copying from the GPU")?;
            piece.copy_from_slice(landed);
            from += piece.len() as u64;
        }
        Ok(())
    }
}

/// Copies on as many threads as pay: pages of a mapped file are first read here.
fn fill(to: &mut [u8], from: &[u8]) {
    if from.len() <= SHARE_BYTES {
        return to.copy_from_slice(from);
    }
    to.par_chunks_mut(SHARE_BYTES)
        .zip(from.par_chunks(SHARE_BYTES))
        .for_each(|(to, from)| to.copy_from_slice(from));
}
