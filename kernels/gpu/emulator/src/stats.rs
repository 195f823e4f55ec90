//! What a launch did, counted.

/// What a launch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stats {
    /// Blocks that ran.
    pub blocks: u64,
    /// Switches between threads.
    pub switches: u64,
    /// Arrivals of threads at operations of a warp or warpgroup.
    pub collectives: u64,
    /// Matrix products of a warp.
    pub products: u64,
    /// Matrix products of a warpgroup.
    pub warpgroup_products: u64,
    /// `load_matrix` operations.
    pub matrix_loads: u64,
    /// 8x8 matrices among them whose rows shared a bank.
    pub bank_conflicts: u64,
    /// Bytes copied asynchronously.
    pub copied_bytes: u64,
    /// Loads and stores that were checked.
    pub checked: u64,
}
