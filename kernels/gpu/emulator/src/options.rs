//! How a kernel is built and run: what is checked, and what the device decides as it likes.

/// Whether loads and stores are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Fast; barriers, alignment, and operands and fences of matrix units are checked nonetheless.
    Plain,
    /// Every load and store is checked for bounds and races, two to four times slower. Threads of a block race on shared
    /// and global memory, blocks and launches on global memory, where fences and `grid_wait` order them.
    Checked,
}

/// When asynchronous copies and products take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum AsyncMode {
    /// As soon as they are issued.
    Early,
    /// Not before they are waited for, or every thread waits.
    Late,
    /// One or the other, at random.
    Either,
}

impl AsyncMode {
    /// All of them.
    pub const ALL: [AsyncMode; 3] = [AsyncMode::Early, AsyncMode::Late, AsyncMode::Either];
}

/// What the device decides as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Decides the order of blocks and threads.
    pub seed: u64,
    /// Decides when asynchronous work happens.
    pub async_mode: AsyncMode,
}

impl Default for Options {
    fn default() -> Options {
        Options { seed: 0, async_mode: AsyncMode::Either }
    }
}
