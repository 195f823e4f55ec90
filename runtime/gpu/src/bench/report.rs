//! What was measured, as it is written to files.

use samp_abi::{ElementType, ParseFormatError};
use samp_kernels::{
    measured::{Measured, MeasuredTime},
    registry::Shape,
};
use serde::{Deserialize, Serialize};

use super::{ACTIVATIONS, attention::Kv};
use crate::clock::Timing;

/// Everything that one run measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was measured: a target's name, and whether it was emulated.
    pub target: String,
    /// What kernels are compared with.
    pub ceilings: Ceilings,
    /// Linears, every candidate for each number of tokens.
    pub linear: Vec<LinearRow>,
    /// Attention of tokens over a cache.
    pub attention: Vec<AttentionRow>,
    /// Whole steps.
    pub steps: Vec<StepRow>,
}

impl Report {
    /// Where no ceiling of matrix products was given, takes the best that f16 linears reached.
    pub fn rate_by_own_kernels(&mut self) {
        let own = self.linear.iter().filter(|row| row.format == "f16").map(|row| row.tflops);
        if self.ceilings.matmul_tflops == 0.0 {
            self.ceilings.matmul_tflops = own.fold(0.0, f64::max);
        }
    }

    /// What the cost model takes from it: of every kernel and shape the fastest number of blocks. `source` says when and on
    /// what it was measured.
    pub fn measured(&self, source: &str) -> Result<Measured, String> {
        let linears = self.linear.iter().map(LinearRow::time);
        let attention = self.attention.iter().filter(|row| row.best).map(AttentionRow::time);
        let mut rows: Vec<MeasuredTime> = vec![];
        for time in linears.chain(attention) {
            let time = time?;
            let known = rows.iter_mut().find(|row| row.kernel == time.kernel && row.shape == time.shape);
            match known {
                Some(known) => known.microseconds = known.microseconds.min(time.microseconds),
                None => rows.push(time),
            }
        }
        Ok(Measured { source: (!rows.is_empty()).then(|| source.to_owned()), rows })
    }
}

/// What kernels are compared with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// GB/s of a copy, read and written bytes counted.
    pub copy_gbs: f64,
    /// TFLOPS of large f16 products.
    pub matmul_tflops: f64,
    /// Where the latter comes from.
    pub matmul_source: String,
}

/// One kernel over one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearRow {
    /// Model whose shape it is.
    pub model: String,
    /// Which of its linears.
    pub projection: String,
    /// Format of the weight.
    pub format: String,
    /// What activations are stored as; bytes are fp8.
    pub activations: ElementType,
    /// Output channels.
    pub rows: u32,
    /// Input channels.
    pub cols: u32,
    /// Tokens.
    pub tokens: u32,
    /// Its name in the registry.
    pub kernel: String,
    /// Blocks along x.
    pub blocks: u32,
    /// Time of one launch.
    pub timing: Timing,
    /// Weights, activations and results over the time, in GB/s.
    pub gbs: f64,
    /// Multiply–adds counted as two over the time, in TFLOPS.
    pub tflops: f64,
    /// Whether it is the fastest of its candidates.
    pub best: bool,
    /// Whether the cost model would choose it.
    pub chosen: bool,
}

impl LinearRow {
    fn time(&self) -> Result<MeasuredTime, String> {
        let shape = Shape {
            tokens: self.tokens.into(),
            rows: self.rows.into(),
            cols: self.cols.into(),
            format: Some(self.format.parse().map_err(|why: ParseFormatError| why.to_string())?),
            activations: self.activations,
            context: 0,
        };
        Ok(MeasuredTime { kernel: self.kernel.clone(), shape, microseconds: self.timing.microseconds })
    }
}

/// Attention of one token of each sequence over its cached positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttentionRow {
    /// Model whose heads they are.
    pub model: String,
    /// Format of the cache.
    pub kv: String,
    /// Query heads, key/value heads and width of a head.
    pub heads: [u32; 3],
    /// Sequences.
    pub batch: u32,
    /// Cached positions of each.
    pub context: u32,
    /// Blocks that share a sequence's positions.
    pub splits: u32,
    /// Time of one launch.
    pub timing: Timing,
    /// Cached bytes over the time, in GB/s.
    pub gbs: f64,
    /// Whether it is the fastest number of splits.
    pub best: bool,
}

impl AttentionRow {
    fn time(&self) -> Result<MeasuredTime, String> {
        let [heads, _, head_dim] = self.heads.map(u64::from);
        let kv = [Kv::F16, Kv::Fp8].into_iter().find(|kv| kv.name() == self.kv);
        let kv = kv.ok_or_else(|| format!("expected a cache in f16 or fp8, found {}", self.kv))?;
        let shape = Shape {
            tokens: self.batch.into(),
            rows: heads * head_dim,
            cols: 0,
            format: Some(kv.format()),
            activations: ACTIVATIONS,
            context: self.context.into(),
        };
        let kernel = "paged_attention_cuda".into();
        Ok(MeasuredTime { kernel, shape, microseconds: self.timing.microseconds })
    }
}

/// One step of a whole model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// `decode`, `prefill` or `throughput`.
    pub what: String,
    /// Model.
    pub model: String,
    /// Formats of the weights.
    pub recipe: String,
    /// Format of the cache.
    pub kv: String,
    /// Sequences.
    pub batch: u32,
    /// Positions of each.
    pub context: u32,
    /// Tokens of the step.
    pub tokens: u32,
    /// Time of the step.
    pub timing: Timing,
    /// Tokens per second: new ones, or those of the prompt.
    pub tokens_per_second: f64,
    /// Bytes that the step reads at least: weights and cache.
    pub bytes: u64,
    /// Those bytes over the time, in GB/s.
    pub gbs: f64,
    /// Kernel of each linear.
    pub kernels: Vec<String>,
}
