//! Attention over a paged cache: of one token of each sequence, and of whole prompts.

use samp_kernels::attention::{KvGeometry, cuda::Attention};
use samp_runtime::device::gpu::{Arg, Driver};

use super::{kv_format::KvFormat, report::AttentionRow};
use crate::{
    error::GpuError,
    gpu::Gpu,
    memory::{FillKernel, GpuBuffer},
    model_shape::ModelShape,
    pattern::Pattern,
    timing::Timing,
};

/// Positions of a page, as the compiler makes them.
pub const PAGE_TOKENS: u32 = 16;

/// Sequences and positions of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// How many sequences there are.
    pub batch: u32,
    /// Positions of each, the new one among them.
    pub context: u32,
}

impl Workload {
    /// Pages of a sequence.
    pub fn pages(&self) -> u32 {
        self.context.div_ceil(PAGE_TOKENS)
    }

    /// The table of `copies` caches, whose pages lie in an order that jumps about.
    pub fn table(&self, copies: usize) -> Vec<i32> {
        let total = self.batch as usize * self.pages() as usize * copies;
        // A step that shares no divisor with the number of pages visits each once.
        let step = (total / 3..).find(|step| *step > 0 && gcd(*step, total) == 1).unwrap_or(1);
        (0..total).map(|i| (i * step % total) as i32).collect()
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Attention of a model's layer for the new tokens of some sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionProblem {
    /// The model.
    pub shape: ModelShape,
    /// How its keys and values are kept.
    pub kv: KvFormat,
    /// The sequences.
    pub load: Workload,
    /// New tokens of each of them.
    pub tokens: u32,
}

impl AttentionProblem {
    /// The cache of the layer.
    pub fn geometry(&self) -> KvGeometry {
        KvGeometry {
            format: self.kv.format(),
            scales: [1.0; 2],
            kv_heads: self.shape.kv_heads as usize,
            head_dim: self.shape.head_dim as usize,
            page_tokens: PAGE_TOKENS as usize,
        }
    }

    /// The kernels of the layer.
    pub fn kernels(&self) -> Attention {
        Attention::new(self.shape.heads as usize, self.geometry(), None).expect("models have such heads")
    }

    /// Keys and values of all positions of all sequences.
    fn cached_bytes(&self) -> u64 {
        let values = u64::from(2 * self.shape.kv_heads * self.shape.head_dim);
        let position = values * self.geometry().element_bytes() as u64;
        position * u64::from(self.load.batch) * u64::from(self.load.context)
    }

    /// As it is reported, computed by so many splits of each sequence.
    fn row(&self, timing: Timing, splits: u32) -> AttentionRow {
        let AttentionProblem { shape, kv, load, tokens } = *self;
        // Pairs of a query and a position that it sees: the last token sees all, each before it one less.
        let seen = f64::from(tokens) * (f64::from(load.context) - f64::from(tokens - 1) / 2.0);
        let flops = 4.0 * seen * f64::from(load.batch) * f64::from(shape.heads * shape.head_dim);
        AttentionRow {
            model: shape.name.into(),
            kv: kv.name().into(),
            heads: [shape.heads, shape.kv_heads, shape.head_dim],
            batch: load.batch,
            tokens,
            context: load.context,
            splits,
            timing,
            gbs: self.cached_bytes() as f64 / timing.microseconds / 1e3,
            tflops: flops / timing.microseconds / 1e6,
            own: false,
        }
    }
}

/// Numbers of splits that are tried, beside what the runtime takes.
const SPLITS: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// Operands of one problem.
struct Operands<M> {
    load: Workload,
    q: GpuBuffer<M>,
    pool: GpuBuffer<M>,
    positions: GpuBuffer<M>,
    sequences: GpuBuffer<M>,
    table: GpuBuffer<M>,
    out: GpuBuffer<M>,
    copies: usize,
}

impl<M> Operands<M> {
    /// The page table of a launch's copy of the cache.
    fn table(&self, launch: usize) -> Arg<'_, M> {
        let bytes = u64::from(self.load.batch * self.load.pages()) * 4;
        self.table.range((launch % self.copies) as u64 * bytes, bytes)
    }
}

impl<D: Driver> Gpu<'_, D> {
    /// Measures one token of each sequence with several numbers of splits, that of the runtime among them.
    pub fn measure_decode_attention(
        &self,
        fill: &FillKernel<'_, D>,
        shape: &ModelShape,
        kv: KvFormat,
        load: Workload,
    ) -> Result<Vec<AttentionRow>, GpuError> {
        let problem = AttentionProblem { shape: *shape, kv, load, tokens: 1 };
        let operands = self.attention_operands(fill, &problem)?;
        let mut splits: Vec<u32> =
            SPLITS.iter().copied().filter(|s| s * PAGE_TOKENS * 4 <= load.context).collect();
        let own = problem.kernels().decode_splits(load.batch, load.context, self.target);
        splits.push(own);
        splits.sort_unstable();
        splits.dedup();
        // Neither too few blocks for the multiprocessors, nor many times more.
        let tiles = load.batch * shape.kv_heads;
        splits.retain(|s| {
            *s == own || (tiles * s >= self.target.units / 2 && tiles * s <= self.target.units * 16)
        });
        let time = |splits| self.time_decode(&operands, &problem, splits);
        let row = |splits| Ok(AttentionRow { own: splits == own, ..time(splits)? });
        splits.into_iter().map(row).collect()
    }

    fn attention_operands(
        &self,
        fill: &FillKernel<'_, D>,
        problem: &AttentionProblem,
    ) -> Result<Operands<D::Memory>, GpuError> {
        let AttentionProblem { shape, kv, load, tokens } = *problem;
        let pages = u64::from(load.batch) * u64::from(load.pages());
        let bytes = pages * problem.geometry().page_bytes() as u64;
        let copies = self.cold_copies(bytes);
        let values = u64::from(load.batch * tokens) * u64::from(shape.heads * shape.head_dim) * 2;
        let sequences: Vec<i32> = (0..load.batch as i32).collect();
        // The last of each sequence's positions are new.
        let new = load.context - tokens..load.context;
        let positions: Vec<i32> = sequences.iter().flat_map(|_| new.clone()).map(|at| at as i32).collect();
        Ok(Operands {
            load,
            q: fill.buffer("queries", values, Pattern::HALVES)?,
            pool: fill.buffer("KV cache", bytes * copies as u64, kv.pattern())?,
            positions: self.integers("positions", &positions)?,
            sequences: self.integers("sequences", &sequences)?,
            table: self.integers("page tables", &load.table(copies))?,
            out: self.zeros("results", values)?,
            copies,
        })
    }

    fn time_decode(
        &self,
        operands: &Operands<D::Memory>,
        problem: &AttentionProblem,
        splits: u32,
    ) -> Result<AttentionRow, GpuError> {
        let (kernels, load) = (problem.kernels(), problem.load);
        let (sums, counters) = kernels.decode_workspace(load.batch, splits);
        let (sums, counters) = (self.zeros("partial sums", sums * 4)?, self.zeros("counters", counters * 4)?);
        let ready = self.ready(&kernels.decode(), kernels.decode_grid(load.batch, splits))?;
        let launches = self.launches(problem.cached_bytes(), 0.0, operands.copies);
        let timing = self.measure(launches, &mut |launch| {
            let args = [
                operands.q.arg(),
                operands.pool.arg(),
                operands.positions.arg(),
                operands.sequences.arg(),
                operands.table(launch),
                Arg::I32(load.pages() as i32),
                operands.out.arg(),
                Arg::F32(1.0),
                Arg::F32(1.0),
                sums.arg(),
                counters.arg(),
                Arg::I32(load.batch as i32),
            ];
            self.launch(&ready, &args)
        })?;
        Ok(problem.row(timing, splits))
    }

    /// Measures a whole prompt of one sequence, with nothing cached before it.
    pub fn measure_prompt(
        &self,
        fill: &FillKernel<'_, D>,
        shape: &ModelShape,
        kv: KvFormat,
        tokens: u32,
    ) -> Result<AttentionRow, GpuError> {
        let load = Workload { batch: 1, context: tokens };
        let problem = AttentionProblem { shape: *shape, kv, load, tokens };
        let (kernels, operands) = (problem.kernels(), self.attention_operands(fill, &problem)?);
        let starts = self.integers("starts of sequences", &[0, tokens as i32])?;
        let ready = self.ready(&kernels.prefill(), kernels.prefill_grid(tokens, 1))?;
        // What the work takes is arithmetic: a few launches are long enough, whatever the cache holds.
        let timing = self.measure(2, &mut |launch| {
            let args = [
                operands.q.arg(),
                operands.pool.arg(),
                operands.positions.arg(),
                starts.arg(),
                Arg::I32(1),
                operands.table(launch),
                Arg::I32(load.pages() as i32),
                operands.out.arg(),
                Arg::F32(1.0),
                Arg::F32(1.0),
            ];
            self.launch(&ready, &args)
        })?;
        Ok(AttentionRow { own: true, ..problem.row(timing, 1) })
    }
}
