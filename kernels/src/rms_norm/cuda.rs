//! Norm kernels of GPUs: how sources are specialised, and what launching them takes. Arguments stand in the sources.

use crate::cuda::{Activation, Grid, Source};

/// Norms of rows of `cols` values, a multiple of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// Width of a row.
    pub cols: u32,
    /// What the normed rows are stored as.
    pub activation: Activation,
    /// Whether the rows to be normed are stored so as well, as of heads; those of the residual stream are f32.
    pub narrow: bool,
}

impl Norm {
    /// The norm alone.
    pub fn rms_norm(&self) -> Source {
        let source = self.source("rms_norm");
        if self.narrow { source.define("NARROW", 1) } else { source }
    }

    /// The norm after the addition of the residual.
    pub fn add_rms_norm(&self) -> Source {
        self.source("add_rms_norm")
    }

    /// Of either, for so many tokens: a block for each, whose threads have 8 values each as far as that goes.
    pub fn grid(&self, tokens: u32) -> Grid {
        Grid { blocks: [tokens, 1, 1], threads: self.threads(), shared_bytes: self.threads() / 32 * 4 }
    }

    /// One of the two with its result in E4M3, in the order of [`fp8_place`](crate::cuda::fp8_place), and, as one more argument
    /// at the end, a scale (f32) for each token.
    #[cfg(feature = "fp8-activations")]
    pub fn to_fp8(&self, source: Source) -> Source {
        source.define("OUT_FP8", 1)
    }

    /// Of such a kernel, for so many tokens.
    #[cfg(feature = "fp8-activations")]
    pub fn fp8_grid(&self, tokens: u32) -> Grid {
        let grid = self.grid(tokens);
        Grid { shared_bytes: 2 * grid.shared_bytes, ..grid }
    }

    fn threads(&self) -> u32 {
        self.cols.div_ceil(8).next_multiple_of(32).clamp(64, 1024)
    }

    fn source(&self, stem: &str) -> Source {
        self.activation.source(stem).define("COLS", self.cols).define("THREADS", self.threads())
    }
}
