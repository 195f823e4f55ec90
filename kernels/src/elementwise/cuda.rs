//! Kernels of GPUs over rows without a weight: how sources are specialised, and what launching them takes. Arguments stand
//! in the sources.

use crate::cuda::{Activation, Grid, Source};

/// Threads of a block, each with four values.
const THREADS: u32 = 256;
/// Threads of a block that copies a row.
const COPY_THREADS: u32 = 128;

/// Operations on rows of `cols` values, a multiple of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementwiseRows {
    /// Width of a row of the result.
    pub cols: u32,
    /// What rows between kernels are stored as.
    pub activation: Activation,
}

impl ElementwiseRows {
    /// An activation plus the residual, both f32 where `wide`.
    pub fn add(&self, wide: bool) -> Source {
        let source = self.source("add");
        if wide { source.define("X_F32", 1) } else { source }
    }

    /// Gate and up to what the down projection takes.
    pub fn silu_mul(&self) -> Source {
        self.source("silu_mul")
    }

    /// The same in E4M3 with a scale for each token, in the order of [`fp8_place`](crate::cuda::fp8_place).
    #[cfg(feature = "fp8-activations")]
    pub fn silu_mul_fp8(&self) -> Source {
        self.source("silu_mul_fp8").define("THREADS", self.row_threads())
    }

    /// Of that, for so many tokens: a block for each, whose threads have 8 values each as far as that goes.
    #[cfg(feature = "fp8-activations")]
    pub fn silu_mul_fp8_grid(&self, tokens: u32) -> Grid {
        let threads = self.row_threads();
        Grid { blocks: [tokens, 1, 1], threads, shared_bytes: threads / 32 * 4 }
    }

    #[cfg(feature = "fp8-activations")]
    fn row_threads(&self) -> u32 {
        self.cols.div_ceil(8).next_multiple_of(32).clamp(64, 1024)
    }

    /// Of `add` and `silu_mul`, for so many tokens.
    pub fn grid(&self, tokens: u32) -> Grid {
        let values = u64::from(tokens) * u64::from(self.cols);
        let blocks = values.div_ceil(u64::from(THREADS) * 4) as u32;
        Grid { blocks: [blocks, 1, 1], threads: THREADS, shared_bytes: 0 }
    }

    /// Chosen rows of f32.
    pub fn gather(&self) -> Source {
        self.source("gather")
    }

    /// For so many chosen rows.
    pub fn gather_grid(&self, rows: u32) -> Grid {
        Grid { blocks: [rows, 1, 1], threads: COPY_THREADS, shared_bytes: 0 }
    }

    fn source(&self, stem: &str) -> Source {
        self.activation.source(stem).define("COLS", self.cols)
    }
}

/// Two or three activations side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// Width of each part; of a third that is not there 0.
    widths: [u32; 3],
}

impl Concat {
    /// `None` unless there are two or three parts, each a multiple of 4 wide.
    pub fn new(widths: &[u32]) -> Option<Concat> {
        let fits = widths.iter().all(|width| *width > 0 && width.is_multiple_of(4));
        let widths = match *widths {
            [first, second] => [first, second, 0],
            [first, second, third] => [first, second, third],
            _ => return None,
        };
        fits.then_some(Concat { widths })
    }

    /// The kernel. Without a third part its argument is null.
    pub fn source(&self) -> Source {
        let [first, second, third] = self.widths;
        let source = Source::find("concat").expect("a kernel of this stem");
        source.define("WIDTH0", first).define("WIDTH1", second).define("WIDTH2", third)
    }

    /// For so many tokens.
    pub fn grid(&self, tokens: u32) -> Grid {
        let vector = if self.widths.iter().all(|width| width.is_multiple_of(8)) { 8 } else { 4 };
        let values = u64::from(tokens) * u64::from(self.widths.iter().sum::<u32>());
        let blocks = values.div_ceil(u64::from(THREADS) * vector) as u32;
        Grid { blocks: [blocks, 1, 1], threads: THREADS, shared_bytes: 0 }
    }
}
