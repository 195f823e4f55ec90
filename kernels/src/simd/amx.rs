//! Matrix units of x86 (AMX): tiles of 16 rows of 64 bytes, whose products add up in 32 bits.
//!
//! Stable Rust has no such intrinsics, so the instructions stand here as text, with the numbers of their registers.

use std::{
    arch::{
        asm,
        x86_64::{__cpuid, __cpuid_count, _xgetbv},
    },
    marker::PhantomData,
    sync::OnceLock,
};

/// Rows of a tile.
pub(crate) const TILE_ROWS: usize = 16;

/// The bytes of a tile, each row in one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Tile(pub(crate) [[u8; 64]; TILE_ROWS]);

/// The sums of a tile, each row in one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct TileSums(pub(crate) [[i32; 16]; TILE_ROWS]);

impl Tile {
    pub(crate) const ZERO: Tile = Tile([[0; 64]; TILE_ROWS]);
}

impl TileSums {
    pub(crate) const ZERO: TileSums = TileSums([[0; 16]; TILE_ROWS]);
}

/// Whether the machine multiplies tiles of bytes and this process may do so, which is asked once.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && may_use_tiles())
}

/// Intel's Software Developer's Manual, volume 2, CPUID: leaf 7 tells of the instructions, XCR0 of the system's support.
fn has_instructions() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const AMX_TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;
    let has = __cpuid(0).eax >= 7
        && __cpuid(1).ecx & OSXSAVE != 0
        && __cpuid_count(7, 0).edx & AMX_TILE_AND_INT8 == AMX_TILE_AND_INT8;
    // SAFETY: OSXSAVE says that there is such an instruction.
    has && unsafe { xcr0() } & TILE_STATE == TILE_STATE
}

/// The states of registers that the system keeps.
#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: register 0 always exists.
    unsafe { _xgetbv(0) }
}

/// Asks Linux to keep the tiles of this process's threads (its documentation, "Using XSTATE features in user space
/// applications"). Other systems are not asked.
fn may_use_tiles() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let mut result = ARCH_PRCTL;
    if cfg!(target_os = "linux") {
        // SAFETY: the call reads and writes no memory of this process.
        unsafe {
            asm!(
                "syscall", inout("rax") result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _, out("r11") _, options(nostack),
            );
        }
    }
    result == 0
}

/// This thread's tiles: 0 to 3 hold sums, 4 and 5 the rows of a left operand, 6 and 7 a right one.
///
/// They are configured while this lives. Nothing that is called meanwhile may configure them differently.
pub(crate) struct Tiles {
    of_this_thread: PhantomData<*const ()>,
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    reserved: [u8; 15],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Configures them for left operands of so many rows, 1 to 16; none where the machine has no such units.
    pub(crate) fn new(rows: usize) -> Option<Tiles> {
        assert!((1..=TILE_ROWS).contains(&rows), "a tile has 1 to {TILE_ROWS} rows, not {rows}");
        if !available() {
            return None;
        }
        let mut configuration =
            Configuration { palette: 1, reserved: [0; 15], row_bytes: [0; 16], rows: [0; 16] };
        configuration.row_bytes[..8].fill(64);
        configuration.rows[..6].fill(rows as u8);
        configuration.rows[6..8].fill(TILE_ROWS as u8);
        // SAFETY: the instruction exists and reads the 64 bytes of a valid configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, readonly)) }
        Some(Tiles { of_this_thread: PhantomData })
    }

    /// Reads the left operands, tiles 4 and 5.
    #[inline(always)]
    pub(crate) fn load_left(&self, [a, b]: &[Tile; 2]) {
        // SAFETY: the tiles are configured and take at most 16 rows of 64 bytes from each array.
        unsafe {
            asm!(
                "tileloadd tmm4, [{a} + {stride}]", "tileloadd tmm5, [{b} + {stride}]",
                a = in(reg) a, b = in(reg) b, stride = in(reg) 64_usize, options(nostack, readonly),
            );
        }
    }

    /// Reads the right operands, tiles 6 and 7, four rows of each column side by side.
    #[inline(always)]
    pub(crate) fn load_right(&self, [a, b]: &[Tile; 2]) {
        // SAFETY: the tiles are configured and take 16 rows of 64 bytes from each array.
        unsafe {
            asm!(
                "tileloadd tmm6, [{a} + {stride}]", "tileloadd tmm7, [{b} + {stride}]",
                a = in(reg) a, b = in(reg) b, stride = in(reg) 64_usize, options(nostack, readonly),
            );
        }
    }

    /// Multiplies each right operand and each left one, bytes with a sign; the sums `[right][left]` stay in tiles 0 to 3.
    #[inline(always)]
    pub(crate) fn multiply_each(&self) {
        // SAFETY: the tiles are configured, and no memory is touched.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "tdpbssd tmm0, tmm4, tmm6",
                "tdpbssd tmm1, tmm5, tmm6",
                "tdpbssd tmm2, tmm4, tmm7",
                "tdpbssd tmm3, tmm5, tmm7",
                options(nostack, nomem),
            );
        }
    }

    /// Multiplies operands that are the low and the high bytes of words. What stays in tiles 0 to 2 are the products of both
    /// low ones, of a low and a high one, and of both high ones.
    #[inline(always)]
    pub(crate) fn multiply_words(&self) {
        // SAFETY: the tiles are configured, and no memory is touched.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tdpbssd tmm1, tmm5, tmm6",
                "tdpbssd tmm0, tmm4, tmm6",
                "tdpbssd tmm2, tmm5, tmm7",
                "tdpbssd tmm1, tmm4, tmm7",
                options(nostack, nomem),
            );
        }
    }

    /// Writes tiles 0 to 3.
    #[inline(always)]
    pub(crate) fn store_each(&self, [s0, s1, s2, s3]: &mut [TileSums; 4]) {
        // SAFETY: the tiles are configured and write at most 16 rows of 64 bytes to each array.
        unsafe {
            asm!(
                "tilestored [{s0} + {stride}], tmm0", "tilestored [{s1} + {stride}], tmm1",
                "tilestored [{s2} + {stride}], tmm2", "tilestored [{s3} + {stride}], tmm3",
                s0 = in(reg) s0, s1 = in(reg) s1, s2 = in(reg) s2, s3 = in(reg) s3,
                stride = in(reg) 64_usize, options(nostack),
            );
        }
    }

    /// Writes tiles 0 to 2; the last result is left as it is.
    #[inline(always)]
    pub(crate) fn store_words(&self, [s0, s1, s2, _]: &mut [TileSums; 4]) {
        // SAFETY: the tiles are configured and write at most 16 rows of 64 bytes to each array.
        unsafe {
            asm!(
                "tilestored [{s0} + {stride}], tmm0", "tilestored [{s2} + {stride}], tmm2",
                "tilestored [{s1} + {stride}], tmm1",
                s0 = in(reg) s0, s1 = in(reg) s1, s2 = in(reg) s2,
                stride = in(reg) 64_usize, options(nostack),
            );
        }
    }
}

/// Products of tiles in [`multiply_rounds`]'s round.
pub(crate) const PRODUCTS: usize = 4;

impl Tiles {
    /// Multiplies what the tiles hold, again and again, to see how fast that is: [`PRODUCTS`] in each round.
    pub(crate) fn multiply_rounds(&self, rounds: usize) {
        for _ in 0..rounds {
            // SAFETY: the tiles are configured, and no memory is touched.
            unsafe {
                asm!(
                    "tdpbssd tmm0, tmm4, tmm6",
                    "tdpbssd tmm1, tmm5, tmm6",
                    "tdpbssd tmm2, tmm4, tmm7",
                    "tdpbssd tmm3, tmm5, tmm7",
                    options(nostack, nomem),
                );
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the tiles are configured; nobody reads them any more.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every element against a plain loop, at the largest magnitudes and for few rows.
    #[test]
    fn products_are_those_of_a_loop() {
        for rows in [1, 3, 16] {
            let Some(tiles) = Tiles::new(rows) else { return };
            let left: [Tile; 2] = std::array::from_fn(|o| {
                Tile(std::array::from_fn(|i| std::array::from_fn(|k| (o * 77 + i * 31 + k * 13) as u8)))
            });
            let right: [Tile; 2] = std::array::from_fn(|o| {
                Tile(std::array::from_fn(|k| std::array::from_fn(|j| (o * 91 + k * 7 + j * 5) as u8)))
            });
            let mut each = [TileSums([[i32::MIN; 16]; TILE_ROWS]); 4];
            let mut words = each;
            tiles.load_left(&left);
            tiles.load_right(&right);
            tiles.multiply_each();
            tiles.store_each(&mut each);
            tiles.multiply_words();
            tiles.store_words(&mut words);
            for (i, j) in (0..rows).flat_map(|i| (0..16).map(move |j| (i, j))) {
                let sum = |l: usize, r: usize| {
                    let product = |k: usize| {
                        i32::from(left[l].0[i][k] as i8) * i32::from(right[r].0[k / 4][4 * j + k % 4] as i8)
                    };
                    (0..64).map(product).sum::<i32>()
                };
                let found = |sums: &[TileSums; 4]| sums.map(|sums| sums.0[i][j]);
                assert_eq!(
                    found(&each),
                    [sum(0, 0), sum(1, 0), sum(0, 1), sum(1, 1)],
                    "{rows} rows: {i}, {j}"
                );
                let expected = [sum(0, 0), sum(1, 0) + sum(0, 1), sum(1, 1), i32::MIN];
                assert_eq!(found(&words), expected, "{rows} rows: {i}, {j}");
            }
            let untouched = each.iter().chain(&words).flat_map(|sums| sums.0[rows..].iter().flatten());
            assert!(untouched.copied().all(|sum| sum == i32::MIN), "{rows} rows");
        }
    }
}
