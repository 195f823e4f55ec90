//! The kernel of GPUs that chooses tokens: how its source is specialised, and what launching it takes.
//!
//! Arguments, in order: logits (f32 `[rows, vocab]`), a [`SamplingParams`](super::SamplingParams) for each row, 64 random bits for each row
//! (u64), tokens (i32 `[rows]`, -1 where the reference finds none), log-probabilities at temperature 1 (f32 `[rows]`, NaN
//! where there is no token; or null), rows (i32).

use crate::cuda::{Grid, Source};

const THREADS: u32 = 1024;
/// Of a block: a number of each warp, a bucket that was found, and two words of each bucket, two buckets for each thread.
const SHARED_BYTES: u32 = THREADS / 32 * 8 + 16 + 2 * THREADS * 8;

/// The kernel for rows of `vocab` logits. `None` where their weights might not fit 64 bits together.
pub fn source(vocab: u32) -> Option<Source> {
    let fits = (1..1 << 20).contains(&vocab);
    let source = Source::find("sample").filter(|_| fits)?;
    Some(source.define("VOCAB", vocab).define("THREADS", THREADS))
}

/// For so many rows: a block for each.
pub fn grid(rows: u32) -> Grid {
    Grid { blocks: [rows, 1, 1], threads: THREADS, shared_bytes: SHARED_BYTES }
}
