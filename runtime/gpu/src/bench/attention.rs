//! Attention of one token of each sequence over a paged cache.

use samp_abi::{Format, ScaleAxis};
use samp_kernels::attention::{KvGeometry, cuda::Attention};
use samp_runtime::device::gpu::{Arg, Driver};

use super::report::AttentionRow;
use crate::{
    Gpu, GpuError,
    memory::{Filler, Pattern, Piece},
    shapes::Sizes,
};

/// Positions of a page, as the compiler makes them.
pub const PAGE_TOKENS: u32 = 16;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kv {
    /// IEEE binary16.
    F16,
    /// E4M3 with scales of 1.
    Fp8,
}

impl Kv {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        if self == Kv::F16 { "f16" } else { "fp8" }
    }

    /// The format of keys and values.
    pub fn format(self) -> Format {
        if self == Kv::F16 { Format::F16 } else { Format::Fp8E4m3(ScaleAxis::Tensor) }
    }

    /// Valid keys and values.
    pub fn pattern(self) -> Pattern {
        if self == Kv::F16 { Pattern::HALVES } else { Pattern::FP8 }
    }
}

/// The cache of a model's layer.
pub fn geometry(sizes: &Sizes, kv: Kv) -> KvGeometry {
    KvGeometry {
        format: kv.format(),
        scales: [1.0; 2],
        kv_heads: sizes.kv_heads as usize,
        head_dim: sizes.head_dim as usize,
        page_tokens: PAGE_TOKENS as usize,
    }
}

/// The kernels of a model's layer.
pub fn kernels(sizes: &Sizes, kv: Kv) -> Attention {
    Attention::new(sizes.heads as usize, geometry(sizes, kv), None).expect("models have such heads")
}

/// Sequences and positions of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Sequences.
    pub batch: u32,
    /// Positions of each, the new one among them.
    pub context: u32,
}

impl Load {
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

/// Numbers of splits that are tried, beside what the runtime takes.
const SPLITS: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// Operands of one load.
struct Operands<M> {
    q: Piece<M>,
    pool: Piece<M>,
    positions: Piece<M>,
    sequences: Piece<M>,
    table: Piece<M>,
    out: Piece<M>,
    copies: usize,
}

impl<D: Driver> Gpu<'_, D> {
    /// Measures one load with several numbers of splits; the fastest is marked.
    pub fn measure_attention(
        &self,
        filler: &Filler<D::Kernel>,
        sizes: &Sizes,
        kv: Kv,
        load: Load,
    ) -> Result<Vec<AttentionRow>, GpuError> {
        let kernels = kernels(sizes, kv);
        let operands = self.attention_operands(filler, sizes, kv, load)?;
        let mut splits: Vec<u32> =
            SPLITS.iter().copied().filter(|s| s * PAGE_TOKENS * 4 <= load.context).collect();
        splits.push(kernels.decode_splits(load.batch, load.context, self.target));
        splits.sort_unstable();
        splits.dedup();
        // Neither too few blocks for the multiprocessors, nor many times more.
        let tiles = load.batch * sizes.kv_heads;
        let own = kernels.decode_splits(load.batch, load.context, self.target);
        splits.retain(|s| {
            *s == own || (tiles * s >= self.target.units / 2 && tiles * s <= self.target.units * 16)
        });
        let mut rows = vec![];
        for splits in splits {
            rows.push(self.time_attention(&operands, sizes, kv, (load, splits))?);
        }
        if let Some(best) =
            rows.iter_mut().min_by(|a, b| a.timing.microseconds.total_cmp(&b.timing.microseconds))
        {
            best.best = true;
        }
        Ok(rows)
    }

    fn attention_operands(
        &self,
        filler: &Filler<D::Kernel>,
        sizes: &Sizes,
        kv: Kv,
        load: Load,
    ) -> Result<Operands<D::Memory>, GpuError> {
        let pages = u64::from(load.batch) * u64::from(load.pages());
        let bytes = pages * geometry(sizes, kv).page_bytes() as u64;
        let copies = self.cold_copies(bytes);
        let values = u64::from(load.batch * sizes.heads * sizes.head_dim) * 2;
        let sequences: Vec<i32> = (0..load.batch as i32).collect();
        Ok(Operands {
            q: self.filled(filler, ("queries", values), Pattern::HALVES)?,
            pool: self.filled(filler, ("KV cache", bytes * copies as u64), kv.pattern())?,
            positions: self.integers("positions", &vec![load.context as i32 - 1; load.batch as usize])?,
            sequences: self.integers("sequences", &sequences)?,
            table: self.integers("page tables", &load.table(copies))?,
            out: self.zeros("results", values)?,
            copies,
        })
    }

    fn time_attention(
        &self,
        operands: &Operands<D::Memory>,
        sizes: &Sizes,
        kv: Kv,
        (load, splits): (Load, u32),
    ) -> Result<AttentionRow, GpuError> {
        let kernels = kernels(sizes, kv);
        let (sums, counters) = kernels.decode_workspace(load.batch, splits);
        let (sums, counters) = (self.zeros("partial sums", sums * 4)?, self.zeros("counters", counters * 4)?);
        let ready = self.ready(&kernels.decode(), kernels.decode_grid(load.batch, splits))?;
        // One position of all sequences: a key and a value.
        let position =
            u64::from(2 * sizes.kv_heads * sizes.head_dim) * geometry(sizes, kv).element_bytes() as u64;
        let bytes = position * u64::from(load.batch) * u64::from(load.context);
        let table_bytes = u64::from(load.batch * load.pages()) * 4;
        let timing = self.measure(self.launches(bytes, 0.0, operands.copies), &mut |launch| {
            let table = operands.table.part((launch % operands.copies) as u64 * table_bytes, table_bytes);
            let args = [
                operands.q.arg(),
                operands.pool.arg(),
                operands.positions.arg(),
                operands.sequences.arg(),
                table,
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
        Ok(AttentionRow {
            model: sizes.name.into(),
            kv: kv.name().into(),
            heads: [sizes.heads, sizes.kv_heads, sizes.head_dim],
            batch: load.batch,
            context: load.context,
            splits,
            timing,
            gbs: bytes as f64 / timing.microseconds / 1e3,
            best: false,
        })
    }
}
