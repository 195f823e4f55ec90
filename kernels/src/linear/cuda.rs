//! Linear kernels of GPUs: how a source is specialised, and what launching it takes.
//!
//! Activations are f16 or bf16. Codes of 4 and 8 bits are exact in both. A weight of f16 is not exact in bf16, nor the other
//! way round: weights of 16 bits are multiplied with activations of their own format, as they were trained, and there is no
//! kernel for a mixture.
//!
//! Weights of fp8 are also multiplied with activations of fp8, on Hopper's units for both ([`LinearKind::WgmmaFp8`]). Norms and
//! SiLU · mul write these with a scale (f32) for each token, in the order of [`fp8_place`](crate::cuda::fp8_place).
//!
//! Arguments of every kernel, in order: x (activations `[tokens, cols]`; of fp8 their scales too), the arrays of the weight in
//! `fragments` layout in the order of [`Layout::components`] (int4 without zero points a null in their place), bias (f32
//! `[rows]`, or null), out `[tokens, rows]`, tokens (i32); and of those that share work out by parts (all but
//! [`LinearKind::Gemv`]) the partial sums (f32) and the counters (u32, zeros before the first launch) of [`Linear::workspace`].

use samp_abi::{BLOCK, Format, Group, Layout, ScaleAxis, TILE_ROWS};

use crate::{
    cuda::{Activation, Grid, Source},
    kernel::LinearKind,
    target::{LEAST_SHARED_BYTES, Target},
};

/// Bytes of shared memory that every block takes beside what it asks for.
const RESERVED_SHARED: u32 = 1024;

/// How a block's warps share out the work, and how far copies run ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tiling {
    /// Warps (gemv), warps along the rows (mma) or warpgroups (wgmma) of a block.
    pub row_warps: u32,
    /// Warps that share out the columns (mma).
    pub k_warps: u32,
    /// Tiles of 16 rows that a warp computes (mma).
    pub tiles_per_warp: u32,
    /// Blocks of columns of one stage (gemv, wgmma).
    pub stage_blocks: u32,
    /// Stages of the ring of copies.
    pub stages: u32,
}

/// A linear kernel, ready to be compiled: everything that a model fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The way it is computed.
    pub kind: LinearKind,
    /// Format of the weight.
    pub format: Format,
    /// How many output channels it has.
    pub rows: u32,
    /// Input channels, a multiple of 64; of 128 where x is in fp8.
    pub cols: u32,
    /// Tokens computed at a time.
    pub tokens: u32,
    /// Whether a bias is added.
    pub bias: bool,
    /// What x, unless it is in fp8, and outputs are stored as.
    pub activation: Activation,
    /// Whether outputs are f32 rather than activations.
    pub f32_out: bool,
    /// How work is shared out.
    pub tiling: Tiling,
}

impl Linear {
    /// The kernel for a weight, without bias; activations and outputs are f16, or bf16 where the weight is. `None` where there
    /// is none of this kind for the format, the columns or the number of tokens, or x does not fit shared memory.
    pub fn new(kind: LinearKind, format: Format, (rows, cols): (u32, u32), tokens: u32) -> Option<Linear> {
        let tokens_fit = match kind {
            LinearKind::Gemv => (1..=8).contains(&tokens),
            LinearKind::Mma => matches!(tokens, 8 | 16 | 32 | 64),
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => matches!(tokens, 16 | 32 | 64 | 128),
        };
        let cols_fit =
            Layout::MmaFragments.holds(format, cols.into()) && cols.is_multiple_of(kind.block_cols());
        let fits = tokens_fit && stem(kind, format).is_some() && cols_fit;
        let tiling = tiling(kind, format, cols, tokens);
        let activation = if format == Format::Bf16 { Activation::Bf16 } else { Activation::F16 };
        (fits && tiling.stages > 1).then_some(Linear {
            kind,
            format,
            rows,
            cols,
            tokens,
            bias: false,
            activation,
            f32_out: false,
            tiling,
        })
    }

    /// The same with other activations. `None` where the weight would not be exact among them.
    pub fn with(self, activation: Activation) -> Option<Linear> {
        let lossy = match activation {
            Activation::F16 => Format::Bf16,
            Activation::Bf16 => Format::F16,
        };
        (self.format != lossy).then_some(Linear { activation, ..self })
    }

    /// The source with its constants.
    pub fn source(&self) -> Source {
        let tiling = &self.tiling;
        let stem = stem(self.kind, self.format).expect("a kernel of every format that `new` takes");
        let mut source = self
            .activation
            .source(stem)
            .define("ROWS", self.rows)
            .define("COLS", self.cols)
            .define("TOKENS", self.tokens)
            .define("STAGES", tiling.stages);
        source = match self.kind {
            LinearKind::Gemv => {
                source.define("WARPS", tiling.row_warps).define("STAGE_BLOCKS", tiling.stage_blocks)
            }
            LinearKind::Mma => source
                .define("ROW_WARPS", tiling.row_warps)
                .define("K_WARPS", tiling.k_warps)
                .define("TILES_PER_WARP", tiling.tiles_per_warp),
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => {
                source.define("CONSUMERS", tiling.row_warps).define("STAGE_BLOCKS", tiling.stage_blocks)
            }
        };
        if let Some(group) = self.format.group() {
            source = source.define("GROUP", group.size());
        }
        let switches = [
            ("BIAS", self.bias),
            ("OUT_F32", self.f32_out),
            ("ZERO_POINT", matches!(self.format, Format::Int4 { zero_point: true, .. })),
            ("TENSOR_SCALE", self.format == Format::Fp8E4m3(ScaleAxis::Tensor)),
            ("FP4", self.format == Format::Fp4),
        ];
        switches.iter().filter(|(_, on)| *on).fold(source, |source, (name, _)| source.define(name, 1))
    }

    /// Threads of a block.
    pub fn threads(&self) -> u32 {
        match self.kind {
            LinearKind::Gemv => self.tiling.row_warps * 32,
            LinearKind::Mma => self.tiling.row_warps * self.tiling.k_warps * 32,
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => self.tiling.row_warps * 128 + 32,
        }
    }

    /// Bytes of shared memory that the launch asks for.
    pub fn shared_bytes(&self) -> u32 {
        let (codes, extra, table) = staged_bytes(self.kind, self.format);
        // Of a block: 64 columns of 16 bits, or 128 of fp8.
        let (tiling, x) = (&self.tiling, self.tokens * 128);
        match self.kind {
            LinearKind::Gemv => {
                let sums = 2 * tiling.row_warps * TILE_ROWS as u32 * self.tokens * 4;
                let rings = tiling.row_warps * tiling.stages * tiling.stage_blocks * (codes + extra);
                table + self.tokens * (self.cols * 2 + 16) + rings + sums
            }
            LinearKind::Mma => {
                let warps = tiling.row_warps * tiling.k_warps;
                let stage = tiling.k_warps * x + warps * tiling.tiles_per_warp * (codes + extra);
                let sums = (tiling.k_warps - 1) * tiling.row_warps * self.sums_of_lane() * 32 * 4;
                table.next_multiple_of(128) + tiling.stages * stage + sums + 16
            }
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => {
                let stage = tiling.stage_blocks * (x + tiling.row_warps * 4 * (codes + extra));
                tiling.stages * stage.next_multiple_of(1024) + table + tiling.stages * 16 + 16
            }
        }
    }

    /// Warps of a block that multiply.
    pub fn multiplying_warps(&self) -> u32 {
        if self.kind.is_wgmma() { self.tiling.row_warps * 4 } else { self.threads() / 32 }
    }

    /// Weights of a part that one warp brings in for a block (wgmma).
    pub fn part_weights(&self) -> u32 {
        self.tiling.row_warps * 4 * TILE_ROWS as u32 * self.tiling.stage_blocks * self.kind.block_cols()
    }

    /// Asynchronous copies of 16 bytes that a thread starts for each stage: of weights and their scales, and of x where that
    /// comes through the ring; for wgmma of x alone, by one warp.
    pub fn copies_of_stage(&self) -> u32 {
        let (codes, extra, _) = staged_bytes(self.kind, self.format);
        let of_tile = codes / 512 + extra.div_ceil(32);
        let tiling = &self.tiling;
        // 128 bytes of a token and block of columns.
        match self.kind {
            LinearKind::Gemv => tiling.stage_blocks * of_tile,
            LinearKind::Mma => {
                tiling.tiles_per_warp * of_tile + (tiling.k_warps * self.tokens * 8).div_ceil(self.threads())
            }
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => (tiling.stage_blocks * self.tokens * 8).div_ceil(32),
        }
    }

    /// Bytes of weights that a block keeps on their way from memory.
    pub fn bytes_in_flight(&self) -> u32 {
        let (codes, extra, _) = staged_bytes(self.kind, self.format);
        let tiling = &self.tiling;
        let blocks = match self.kind {
            LinearKind::Gemv => tiling.row_warps * tiling.stage_blocks * (tiling.stages - 1),
            LinearKind::Mma => {
                tiling.row_warps * tiling.k_warps * tiling.tiles_per_warp * (tiling.stages - 1)
            }
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => {
                tiling.row_warps * 4 * tiling.stage_blocks * tiling.stages
            }
        };
        blocks * (codes + extra)
    }

    /// Pieces that work can be shared out in: no more blocks than this may run along x. Tiles of 16 rows for gemv.
    pub fn parts(&self) -> u32 {
        let blocks = self.cols / self.kind.block_cols();
        match self.kind {
            LinearKind::Gemv => self.rows.div_ceil(TILE_ROWS as u32),
            LinearKind::Mma => self.groups() * blocks.div_ceil(self.tiling.k_warps),
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => self.groups() * (blocks / self.tiling.stage_blocks),
        }
    }

    /// The launch for so many tokens on `target`: as many blocks as run at once, or as there is work for.
    pub fn grid(&self, tokens: u32, target: &Target) -> Grid {
        let resident = (target.shared_memory_bytes / (self.shared_bytes() + RESERVED_SHARED)).clamp(1, 2);
        let blocks = (target.units * resident).min(self.parts());
        let token_tiles = if self.kind == LinearKind::Gemv { 1 } else { self.token_tiles(tokens) };
        Grid { blocks: [blocks, token_tiles, 1], threads: self.threads(), shared_bytes: self.shared_bytes() }
    }

    /// Blocks along y for so many tokens.
    pub fn token_tiles(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.tokens)
    }

    /// Partial sums (f32) and counters (u32) that a launch of `blocks` by `token_tiles` blocks needs; none for gemv.
    pub fn workspace(&self, blocks: u32, token_tiles: u32) -> (u64, u64) {
        let row_threads = match self.kind {
            LinearKind::Gemv => return (0, 0),
            LinearKind::Mma => self.tiling.row_warps * 32,
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => self.tiling.row_warps * 128,
        };
        let slots = 2 * u64::from(blocks) * u64::from(token_tiles);
        let sums = slots * u64::from(row_threads * self.sums_of_lane());
        (sums, u64::from(token_tiles) * u64::from(self.groups()))
    }

    /// Groups of rows that one block computes at a time.
    fn groups(&self) -> u32 {
        let tiles = match self.kind {
            LinearKind::Gemv => 1,
            LinearKind::Mma => self.tiling.row_warps * self.tiling.tiles_per_warp,
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => self.tiling.row_warps * 4,
        };
        self.rows.div_ceil(TILE_ROWS as u32).div_ceil(tiles)
    }

    fn sums_of_lane(&self) -> u32 {
        match self.kind {
            LinearKind::Gemv => 2 * self.tokens,
            LinearKind::Mma => self.tiling.tiles_per_warp * self.tokens / 2,
            LinearKind::Wgmma | LinearKind::WgmmaFp8 => self.tokens / 2,
        }
    }
}

/// The kernel of a kind and format, as its file and symbol are called.
fn stem(kind: LinearKind, format: Format) -> Option<&'static str> {
    let [gemv, mma, wgmma] = match format {
        Format::F16 => ["linear_f16_gemv", "linear_f16_mma", "linear_f16_wgmma"],
        Format::Bf16 => ["linear_bf16_gemv", "linear_bf16_mma", "linear_bf16_wgmma"],
        Format::Fp8E4m3(_) => ["linear_fp8_gemv", "linear_fp8_mma", "linear_fp8_wgmma"],
        Format::Int8 { outliers: false } => ["linear_int8_gemv", "linear_int8_mma", "linear_int8_wgmma"],
        Format::Int4 { .. } => ["linear_int4_gemv", "linear_int4_mma", "linear_int4_wgmma"],
        Format::Nf4 | Format::Fp4 => ["linear_nf4_gemv", "linear_nf4_mma", "linear_nf4_wgmma"],
        _ => return None,
    };
    match kind {
        LinearKind::Gemv => Some(gemv),
        LinearKind::Mma => Some(mma),
        LinearKind::Wgmma => Some(wgmma),
        LinearKind::WgmmaFp8 => {
            let has = cfg!(feature = "fp8-activations") && matches!(format, Format::Fp8E4m3(_));
            has.then_some("linear_fp8_fp8_wgmma")
        }
    }
}

/// Bytes that are staged of one block of columns of a tile, its codes and what goes with them, and bytes of tables.
fn staged_bytes(kind: LinearKind, format: Format) -> (u32, u32, u32) {
    let codes = TILE_ROWS as u32 * kind.block_cols() * format.code_bits() as u32 / 8;
    match format {
        Format::Nf4 | Format::Fp4 => (codes, 16, 256 * 32 * 4 + 256 * 4),
        Format::Int4 { zero_point, .. } => (codes, if zero_point { 48 } else { 32 }, 0),
        _ => (codes, 0, 0),
    }
}

/// A tiling that keeps some 32 KiB of weights in flight in each block, as far as shared memory goes.
fn tiling(kind: LinearKind, format: Format, cols: u32, tokens: u32) -> Tiling {
    let bits = format.code_bits() as u32;
    let pairs = if bits == 4 && (cols / BLOCK as u32).is_multiple_of(2) { 2 } else { 1 };
    let plain = Tiling { row_warps: 8, k_warps: 1, tiles_per_warp: 1, stage_blocks: 1, stages: 4 };
    match kind {
        LinearKind::Gemv => {
            // Of the whole 16 KiB that every GPU has, what tables, x and sums leave.
            let (codes, extra, table) = staged_bytes(kind, format);
            let all = LEAST_SHARED_BYTES / (16 << 10) * (16 << 10);
            let left = all.saturating_sub(table + tokens * (cols * 2 + 16 + 1024));
            let stages = |blocks: u32| (left / (8 * blocks * (codes + extra))).min(64 / (bits * blocks));
            let stage_blocks = if stages(pairs) > 2 { pairs } else { 1 };
            Tiling { stage_blocks, stages: stages(stage_blocks), ..plain }
        }
        LinearKind::Mma if tokens < 32 => {
            Tiling { row_warps: 4, k_warps: 2, stages: (32 / bits).max(3), ..plain }
        }
        LinearKind::Mma => plain,
        // Twice the columns would take more registers than there are.
        LinearKind::Wgmma | LinearKind::WgmmaFp8 if tokens == 128 => Tiling { row_warps: 2, ..plain },
        LinearKind::Wgmma | LinearKind::WgmmaFp8 => Tiling { row_warps: 2, stage_blocks: pairs, ..plain },
    }
}

/// The group sizes that the kernels know.
const _: () = assert!(Group::G64.size() == BLOCK && Group::G128.size() == 2 * BLOCK);
