//! What was measured, as it is written to files.

use std::{io, path::Path};

use samp_abi::{ElementType, Format, ParseFormatError};
use samp_kernels::{
    kernel::OpShape,
    measured::{Measured, MeasuredTime},
};
use serde::{Deserialize, Serialize};

use super::{ACTIVATIONS, kv_format::KvFormat};
use crate::timing::Timing;

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
    /// Kernels between them.
    pub passes: Vec<RowKernelRow>,
    /// Steps of whole models.
    pub steps: Vec<StepRow>,
}

impl Report {
    /// What a file holds.
    pub fn read(path: &Path) -> io::Result<Report> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Writes it to a file, which holds all of it or what it held before.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        std::fs::write(&partial, serde_json::to_vec(self)?)?;
        std::fs::rename(&partial, path)
    }

    /// Adds candidates of a linear. The fastest on the runtime's own blocks of those for the same linear, which were added one
    /// after another, is marked, and the best that f16 reached is what products are rated by.
    pub fn add_linear(&mut self, rows: Vec<LinearRow>) {
        let Some(last) = rows.last().cloned() else { return };
        if last.format == "f16" {
            let most = rows.iter().map(|row| row.tflops).fold(self.ceilings.matmul_tflops, f64::max);
            self.ceilings.matmul_tflops = most;
            self.ceilings.matmul_source = "own f16 kernels".into();
        }
        self.linear.extend(rows);
        let of_problem = self.linear.iter_mut().rev().take_while(|row| row.problem() == last.problem());
        let mut own: Vec<&mut LinearRow> = of_problem.filter(|row| row.own).collect();
        own.sort_by(|a, b| a.timing.microseconds.total_cmp(&b.timing.microseconds));
        for (rank, row) in own.into_iter().enumerate() {
            row.best = rank == 0;
        }
    }

    /// What the cost model takes from it: the time of every kernel and shape as the runtime launches it. `source` says when
    /// and on what it was measured.
    pub fn measured(&self, source: &str) -> Result<Measured, ReportError> {
        let linears = self.linear.iter().filter(|row| row.own).map(LinearRow::time);
        let attention = self.attention.iter().filter(|row| row.own).map(AttentionRow::time);
        let mut rows: Vec<MeasuredTime> = vec![];
        for time in linears.chain(attention) {
            let time = time?;
            // Two models may have a linear of the same shape.
            if !rows.iter().any(|row| row.kernel == time.kernel && row.shape == time.shape) {
                rows.push(time);
            }
        }
        Ok(Measured { source: (!rows.is_empty()).then(|| source.to_owned()), rows })
    }
}

/// Why the cost model takes nothing from a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// A linear's format does not exist.
    #[error(transparent)]
    Format(#[from] ParseFormatError),
    /// Keys and values are kept in no format that is measured.
    #[error("expected a cache in f16 or fp8, found {0}")]
    Cache(String),
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
    /// Output channels of the weight.
    pub rows: u32,
    /// Input channels of the weight.
    pub cols: u32,
    /// Tokens of the launch.
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
    /// Whether the runtime takes so many blocks.
    pub own: bool,
    /// Whether it is the fastest of its candidates on the runtime's own blocks.
    pub best: bool,
    /// Whether it is the kernel that the cost model would choose.
    pub chosen: bool,
}

impl LinearRow {
    /// What it is compared within.
    fn problem(&self) -> (&str, &str, &str, ElementType, u32) {
        (&self.model, &self.projection, &self.format, self.activations, self.tokens)
    }

    fn time(&self) -> Result<MeasuredTime, ReportError> {
        let format: Format = self.format.parse()?;
        let shape = OpShape::with_weight(self.rows.into(), self.cols.into(), format, self.activations);
        let shape = shape.at(self.tokens.into(), 0);
        Ok(MeasuredTime { kernel: self.kernel.clone(), shape, microseconds: self.timing.microseconds })
    }
}

/// Attention of some tokens of each sequence over its cached positions, their own among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttentionRow {
    /// Model whose heads they are.
    pub model: String,
    /// Format of the cache.
    pub kv: String,
    /// Query heads, key/value heads and width of a head.
    pub heads: [u32; 3],
    /// Sequences of the batch.
    pub batch: u32,
    /// Tokens of each: one, or all of a prompt.
    pub tokens: u32,
    /// Cached positions of each.
    pub context: u32,
    /// Blocks that share a sequence's positions.
    pub splits: u32,
    /// Time of one launch.
    pub timing: Timing,
    /// Cached bytes over the time, in GB/s.
    pub gbs: f64,
    /// Multiply–adds over what queries see, counted as two, over the time, in TFLOPS.
    pub tflops: f64,
    /// Whether the runtime takes so many splits.
    pub own: bool,
}

impl AttentionRow {
    fn time(&self) -> Result<MeasuredTime, ReportError> {
        let [heads, _, head_dim] = self.heads.map(u64::from);
        let kv = [KvFormat::F16, KvFormat::Fp8].into_iter().find(|kv| kv.name() == self.kv);
        let kv = kv.ok_or_else(|| ReportError::Cache(self.kv.clone()))?;
        let shape = OpShape::over_cache(heads * head_dim, kv.format(), ACTIVATIONS);
        let shape = shape.at(u64::from(self.batch) * u64::from(self.tokens), self.context.into());
        let kernel = "paged_attention_cuda".into();
        Ok(MeasuredTime { kernel, shape, microseconds: self.timing.microseconds })
    }
}

/// A kernel that passes over rows, between linears and attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowKernelRow {
    /// Model whose widths it has.
    pub model: String,
    /// Its name in the registry.
    pub kernel: String,
    /// Rows that it goes over.
    pub tokens: u32,
    /// Time of one launch.
    pub timing: Timing,
    /// Bytes that it reads and writes over the time, in GB/s.
    pub gbs: f64,
}

/// One step of a whole model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// `decode`, `prefill` or `throughput`.
    pub what: String,
    /// The model's name.
    pub model: String,
    /// Formats of the weights.
    pub recipe: String,
    /// Format of the cache.
    pub kv: String,
    /// Sequences of the batch.
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
