//! Whole steps of models whose weights are made on the GPU, launched as a plan's steps are.

use samp_abi::{Format, Layout};
use samp_kernels::{
    attention::cuda::Attention,
    cuda::{Activation, Grid, Source},
    elementwise::cuda::Rows,
    embed,
    linear::cuda::Linear,
    rms_norm::cuda::Norm,
};
use samp_runtime::device::gpu::{Arg, Driver, DriverError};

use super::{
    ACTIVATIONS,
    attention::{self, Kv, Load, geometry},
    linear::{self, Measured, Task},
    report::StepRow,
};
use crate::{
    Gpu, GpuError, Ready,
    memory::{Filler, Pattern, Piece, Weight},
    shapes::{Projection, Recipe, Sizes},
};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A token of each sequence, with all positions before it cached.
    Decode,
    /// All tokens of each sequence, with none cached.
    Prefill,
}

/// A step to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The model.
    pub sizes: Sizes,
    /// Formats of its weights.
    pub recipe: Recipe,
    /// Format of its cache.
    pub kv: Kv,
    /// What it does.
    pub what: What,
    /// Sequences and positions of each.
    pub load: Load,
}

impl Job {
    /// Tokens of the step.
    pub fn tokens(&self) -> u32 {
        if self.what == What::Decode { self.load.batch } else { self.load.batch * self.load.context }
    }

    /// Rows that a projection computes.
    fn rows(&self, projection: Projection) -> u32 {
        if projection == Projection::LmHead { self.load.batch } else { self.tokens() }
    }

    fn task(&self, projection: Projection) -> Task {
        let (rows, cols) = self.sizes.of(projection);
        let (format, f32_out) = (self.recipe.of(projection), projection == Projection::LmHead);
        Task { format, activations: ACTIVATIONS, rows, cols, f32_out }
    }
}

/// The sources of a step's kernels but for the linears.
pub fn sources(sizes: &Sizes, kv: Kv) -> Vec<Source> {
    let Around { norm, residual, mlp, attention } = Around::new(sizes, kv);
    vec![
        embed_source(sizes),
        norm.rms_norm(),
        norm.add_rms_norm(),
        residual.add(false),
        residual.gather(),
        mlp.silu_mul(),
        attention.rope_append(),
        attention.decode(),
        attention.prefill(),
    ]
}

fn embed_source(sizes: &Sizes) -> Source {
    embed::cuda::source(Format::F16, Layout::RowMajor, sizes.hidden).expect("a kernel of such rows")
}

/// Kernels around the linears.
struct Around {
    norm: Norm,
    residual: Rows,
    mlp: Rows,
    attention: Attention,
}

impl Around {
    fn new(sizes: &Sizes, kv: Kv) -> Around {
        let activation = Activation::F16;
        Around {
            norm: Norm { cols: sizes.hidden, activation },
            residual: Rows { cols: sizes.hidden, activation },
            mlp: Rows { cols: sizes.intermediate, activation },
            attention: attention::kernels(sizes, kv),
        }
    }
}

/// A linear of every layer: its kernel and the layers' weights.
struct Projected<D: Driver> {
    linear: Linear,
    ready: Ready<D::Kernel>,
    weights: Weight<D::Memory>,
}

/// The kernels around the linears, loaded.
struct Loaded<K> {
    embed: Ready<K>,
    rms_norm: Ready<K>,
    last_norm: Ready<K>,
    add_rms_norm: Ready<K>,
    add: Ready<K>,
    gather: Ready<K>,
    silu_mul: Ready<K>,
    rope_append: Ready<K>,
    attention: Ready<K>,
}

/// What steps read and write.
struct Buffers<M> {
    token_ids: Piece<M>,
    positions: Piece<M>,
    sequences: Piece<M>,
    starts: Piece<M>,
    page_table: Piece<M>,
    output_rows: Piece<M>,
    half_turns: Piece<M>,
    table: Piece<M>,
    norm: Piece<M>,
    /// The residual stream, before and after an addition.
    residual: [Piece<M>; 2],
    /// Normed rows; what attention gives.
    x: Piece<M>,
    qkv: Piece<M>,
    q: Piece<M>,
    gate_up: Piece<M>,
    activated: Piece<M>,
    /// What goes back to the residual stream.
    y: Piece<M>,
    outputs: Piece<M>,
    logits: Piece<M>,
    sums: Piece<M>,
    counters: Piece<M>,
    pools: Vec<Piece<M>>,
}

/// A model ready for a step.
struct Model<'g, D: Driver> {
    gpu: &'g Gpu<'g, D>,
    job: Job,
    loaded: Loaded<D::Kernel>,
    projections: Vec<Projected<D>>,
    buffers: Buffers<D::Memory>,
}

const EPS: f32 = 1e-5;

impl<D: Driver> Gpu<'_, D> {
    /// Measures a step: first each linear's candidates alone, then the whole with the fastest of them.
    pub fn measure_step(&self, name: (&str, &str), job: Job) -> Result<StepRow, GpuError> {
        let filler = self.filler()?;
        let chosen = Projection::ALL.map(|projection| self.fastest(&filler, &job, projection));
        let chosen = chosen.into_iter().collect::<Result<Vec<_>, _>>()?;
        let model = self.model(&filler, job, &chosen)?;
        let timing = self.measure(1, &mut |_| model.step())?;
        model.check()?;
        let weights: u64 = model.projections.iter().map(|p| p.weights.bytes * p.weights.copies as u64).sum();
        let pools: u64 = model.buffers.pools.iter().map(Piece::bytes).sum();
        let bytes = weights + if job.what == What::Decode { pools } else { 0 };
        let seconds = timing.microseconds / 1e6;
        Ok(StepRow {
            what: name.0.into(),
            model: job.sizes.name.into(),
            recipe: name.1.into(),
            kv: job.kv.name().into(),
            batch: job.load.batch,
            context: job.load.context,
            tokens: job.tokens(),
            timing,
            tokens_per_second: f64::from(job.tokens()) / seconds,
            bytes,
            gbs: bytes as f64 / seconds / 1e9,
            kernels: chosen.iter().map(|m| format!("{} on {}", m.candidate.name, m.blocks)).collect(),
        })
    }

    fn fastest(
        &self,
        filler: &Filler<D::Kernel>,
        job: &Job,
        projection: Projection,
    ) -> Result<Measured, GpuError> {
        let (task, tokens) = (job.task(projection), job.rows(projection));
        let operands = self.operands(filler, &task, &[tokens])?;
        Ok(self.measure_linear(&task, &operands, tokens)?[0])
    }

    fn model<'g>(
        &'g self,
        filler: &Filler<D::Kernel>,
        job: Job,
        chosen: &[Measured],
    ) -> Result<Model<'g, D>, GpuError> {
        let mut projections = vec![];
        for (measured, projection) in chosen.iter().zip(Projection::ALL) {
            let copies = if projection == Projection::LmHead { 1 } else { job.sizes.layers as usize };
            let (linear, task) = (measured.candidate.linear, job.task(projection));
            projections.push(Projected {
                linear,
                ready: self.ready_linear(&linear, job.rows(projection), measured.blocks)?,
                weights: self.weight(
                    filler,
                    (task.format, Layout::Fragments),
                    (task.rows, task.cols),
                    copies,
                )?,
            });
        }
        let loaded = self.load_around(&job)?;
        let buffers = self.buffers(filler, &job, chosen)?;
        Ok(Model { gpu: self, job, loaded, projections, buffers })
    }

    fn load_around(&self, job: &Job) -> Result<Loaded<D::Kernel>, GpuError> {
        let Around { norm, residual, mlp, attention } = Around::new(&job.sizes, job.kv);
        let (tokens, Load { batch, context }) = (job.tokens(), job.load);
        let attended: (Source, Grid) = match job.what {
            What::Decode => {
                let splits = attention.decode_splits(tokens, context, self.target);
                (attention.decode(), attention.decode_grid(tokens, splits))
            }
            What::Prefill => (attention.prefill(), attention.prefill_grid(tokens, batch)),
        };
        Ok(Loaded {
            embed: self.ready(&embed_source(&job.sizes), embed::cuda::grid(tokens))?,
            rms_norm: self.ready(&norm.rms_norm(), norm.grid(tokens))?,
            last_norm: self.ready(&norm.rms_norm(), norm.grid(batch))?,
            add_rms_norm: self.ready(&norm.add_rms_norm(), norm.grid(tokens))?,
            add: self.ready(&residual.add(false), residual.grid(tokens))?,
            gather: self.ready(&residual.gather(), residual.gather_grid(batch))?,
            silu_mul: self.ready(&mlp.silu_mul(), mlp.grid(tokens))?,
            rope_append: self.ready(&attention.rope_append(), attention.rope_append_grid(tokens))?,
            attention: self.ready(&attended.0, attended.1)?,
        })
    }

    fn buffers(
        &self,
        filler: &Filler<D::Kernel>,
        job: &Job,
        chosen: &[Measured],
    ) -> Result<Buffers<D::Memory>, GpuError> {
        let Job { sizes, load, .. } = *job;
        let tokens = job.tokens();
        let per_sequence = tokens / load.batch;
        let of_sequence = |i: u32| (0..per_sequence).map(move |at| (i, load.context - per_sequence + at));
        let all: Vec<(u32, u32)> = (0..load.batch).flat_map(of_sequence).collect();
        let ints = |of: fn(&(u32, u32)) -> u32| all.iter().map(|token| of(token) as i32).collect::<Vec<_>>();
        let ends = (0..=load.batch).map(|i| (i * per_sequence) as i32).collect::<Vec<_>>();
        let lasts = ends[1..].iter().map(|end| end - 1).collect::<Vec<_>>();
        let ids =
            (0..tokens).map(|i| (u64::from(i) * 7919 % u64::from(sizes.vocab)) as i32).collect::<Vec<_>>();
        let pairs = sizes.head_dim / 2;
        let half_turn = |i| 500_000f64.powf(-f64::from(i) / f64::from(pairs)) / std::f64::consts::PI;
        let half_turns: Vec<u8> = (0..pairs).flat_map(|i| half_turn(i).to_le_bytes()).collect();
        let (sums, counters) = self.workspace(job, chosen);
        let values = |what, rows: u32, width: u32, bytes: u64| {
            self.zeros(what, u64::from(rows) * u64::from(width) * bytes)
        };
        let heads = sizes.heads * sizes.head_dim;
        let pool_bytes = u64::from(load.batch * load.pages()) * geometry(&sizes, job.kv).page_bytes() as u64;
        let pool = |_| self.filled(filler, ("KV cache", pool_bytes), job.kv.pattern());
        let table_bytes = u64::from(sizes.vocab) * u64::from(sizes.hidden) * 2;
        Ok(Buffers {
            token_ids: self.integers("token ids", &ids)?,
            positions: self.integers("positions", &ints(|token| token.1))?,
            sequences: self.integers("sequences", &ints(|token| token.0))?,
            starts: self.integers("starts", &ends)?,
            page_table: self.integers("page table", &load.table(1))?,
            output_rows: self.integers("output rows", &lasts)?,
            half_turns: self.uploaded("rotary frequencies", &half_turns)?,
            table: self.filled(filler, ("embedding", table_bytes), Pattern::HALVES)?,
            norm: self.filled(filler, ("norms", u64::from(sizes.hidden) * 4), Pattern::AROUND_ONE)?,
            residual: [
                values("residual", tokens, sizes.hidden, 4)?,
                values("residual", tokens, sizes.hidden, 4)?,
            ],
            x: values("activations", tokens, sizes.hidden.max(heads), 2)?,
            qkv: values("activations", tokens, sizes.of(Projection::Qkv).0, 2)?,
            q: values("activations", tokens, heads, 2)?,
            gate_up: values("activations", tokens, 2 * sizes.intermediate, 2)?,
            activated: values("activations", tokens, sizes.intermediate, 2)?,
            y: values("activations", tokens, sizes.hidden, 2)?,
            outputs: values("outputs", load.batch, sizes.hidden, 4)?,
            logits: values("logits", load.batch, sizes.vocab, 4)?,
            sums: self.zeros("partial sums", sums * 4)?,
            counters: self.zeros("counters", counters * 4)?,
            pools: (0..sizes.layers).map(pool).collect::<Result<_, _>>()?,
        })
    }

    /// Partial sums and counters that every launch makes do with.
    fn workspace(&self, job: &Job, chosen: &[Measured]) -> (u64, u64) {
        let attention = attention::kernels(&job.sizes, job.kv);
        let (tokens, context) = (job.tokens(), job.load.context);
        let decode = match job.what {
            What::Decode => {
                attention.decode_workspace(tokens, attention.decode_splits(tokens, context, self.target))
            }
            What::Prefill => (0, 0),
        };
        chosen.iter().fold(decode, |most, measured| {
            let linear = measured.candidate.linear;
            let need = linear.workspace(measured.blocks, linear.token_tiles(tokens));
            (most.0.max(need.0), most.1.max(need.1))
        })
    }
}

impl<D: Driver> Model<'_, D> {
    fn tokens<'a>(&self) -> Arg<'a, D::Memory> {
        Arg::I32(self.job.tokens() as i32)
    }

    /// Refuses a step that did not come to a result.
    fn check(&self) -> Result<(), GpuError> {
        let logits = self.gpu.floats(&self.buffers.logits)?;
        let finite = logits.iter().all(|x| x.is_finite()) && logits.iter().any(|x| *x != 0.0);
        if finite { Ok(()) } else { Err(GpuError::NotFinite) }
    }

    /// Launches the whole step.
    fn step(&self) -> Result<(), DriverError> {
        let (b, k) = (&self.buffers, &self.loaded);
        let [mut residual, mut sum] = [&b.residual[0], &b.residual[1]];
        let eps = Arg::F32(EPS);
        let tokens = self.tokens();
        self.gpu.launch(&k.embed, &[b.token_ids.arg(), b.table.arg(), residual.arg(), tokens])?;
        self.gpu.launch(&k.rms_norm, &[residual.arg(), b.norm.arg(), b.x.arg(), tokens, eps])?;
        for layer in 0..self.job.sizes.layers as usize {
            self.project(Projection::Qkv, layer, [&b.x, &b.qkv])?;
            self.attend(layer)?;
            self.project(Projection::O, layer, [&b.x, &b.y])?;
            let added = |residual: &Piece<_>, sum: &Piece<_>| {
                let args = [b.y.arg(), residual.arg(), b.norm.arg(), sum.arg(), b.x.arg(), tokens, eps];
                self.gpu.launch(&k.add_rms_norm, &args)
            };
            added(residual, sum)?;
            self.project(Projection::GateUp, layer, [&b.x, &b.gate_up])?;
            self.gpu.launch(&k.silu_mul, &[b.gate_up.arg(), b.activated.arg(), tokens])?;
            self.project(Projection::Down, layer, [&b.activated, &b.y])?;
            if layer + 1 < self.job.sizes.layers as usize {
                added(sum, residual)?;
            } else {
                std::mem::swap(&mut residual, &mut sum);
            }
        }
        self.gpu.launch(&k.add, &[b.y.arg(), residual.arg(), sum.arg(), tokens])?;
        let outputs = Arg::I32(self.job.load.batch as i32);
        self.gpu.launch(&k.gather, &[sum.arg(), b.output_rows.arg(), b.outputs.arg(), outputs])?;
        self.gpu.launch(&k.last_norm, &[b.outputs.arg(), b.norm.arg(), b.x.arg(), outputs, eps])?;
        self.project(Projection::LmHead, 0, [&b.x, &b.logits])
    }

    fn project(
        &self,
        projection: Projection,
        layer: usize,
        [x, out]: [&Piece<D::Memory>; 2],
    ) -> Result<(), DriverError> {
        let Projected { linear, ready, weights } = &self.projections[projection as usize];
        let workspace = [self.buffers.sums.arg(), self.buffers.counters.arg()];
        let operands = [x.arg(), out.arg()];
        let args = linear::args(linear, operands, weights.args(layer), self.job.rows(projection), workspace);
        self.gpu.launch(ready, &args)
    }

    fn attend(&self, layer: usize) -> Result<(), DriverError> {
        let (b, one) = (&self.buffers, Arg::F32(1.0));
        let (tokens, pool) = (self.tokens(), b.pools[layer].arg());
        let (positions, sequences) = (b.positions.arg(), b.sequences.arg());
        let table = [b.page_table.arg(), Arg::I32(self.job.load.pages() as i32)];
        let mut args = vec![b.qkv.arg(), b.half_turns.arg(), positions, sequences];
        args.extend(table);
        args.extend([b.q.arg(), pool, one, one, tokens]);
        self.gpu.launch(&self.loaded.rope_append, &args)?;
        let mut args = vec![b.q.arg(), pool, positions];
        match self.job.what {
            What::Decode => args.push(sequences),
            What::Prefill => args.extend([b.starts.arg(), Arg::I32(self.job.load.batch as i32)]),
        }
        args.extend(table);
        args.extend([b.x.arg(), one, one]);
        if self.job.what == What::Decode {
            args.extend([b.sums.arg(), b.counters.arg(), tokens]);
        }
        self.gpu.launch(&self.loaded.attention, &args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projections_are_found_by_their_order() {
        for (index, projection) in Projection::ALL.into_iter().enumerate() {
            assert_eq!(index, projection as usize);
        }
    }
}
