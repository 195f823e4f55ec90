//! Execution in host memory, shared by the CPU device and the reference: they differ in the functions called.

use std::ops::Range;

use memmap2::{MmapMut, MmapOptions};
use samp_abi::{
    Component,
    plan::{BufferId, KvCache, Model, Program, TensorId},
};
use samp_kernels::{
    attention::{AttentionArgs, KvGeometry},
    elementwise::{AddArgs, ConcatArgs, GatherArgs, SiluMulArgs},
    embed::EmbedArgs,
    linear::LinearArgs,
    rms_norm::{AddRmsNormArgs, RmsNormArgs},
    rope::RopeAppendArgs,
    sample::{SampleArgs, SampleRequest, SampledToken},
};

use super::{
    bind::{AddRmsNorm, Call, KernelImpl, bind, bind_sampler},
    buffers::{BufferView, RowCounts, Span},
    error::DeviceError,
    executable::{Executable, Weights},
    step::{Batch, Device, Observer},
};

pub(super) struct HostDevice<W> {
    program: Program,
    model: Model,
    pub weights: W,
    calls: Vec<Call>,
    sampler: fn(SampleArgs<'_>),
    spans: Vec<Span>,
    arena: MmapMut,
    cache: Cache,
}

/// The pools of all layers, one after another.
struct Cache {
    bytes: MmapMut,
    layers: Vec<KvGeometry>,
    layer_bytes: usize,
}

impl<W: Weights> HostDevice<W> {
    pub fn load(
        executable: Executable,
        weights: W,
        kv_pages: u32,
        kernels: KernelImpl,
    ) -> Result<HostDevice<W>, DeviceError> {
        let Executable { program, model, kv, arena_bytes } = executable;
        let (spans, elements) = Span::all(&program, arena_bytes);
        let calls = program.steps.iter().map(|step| bind(step, &spans, kernels)).collect::<Result<_, _>>()?;
        let sampler = bind_sampler(&program, kernels)?;
        let arena = zeroed("activation arena", 4 * elements, "compile with smaller limits")?;
        let cache = Cache::new(&model, &kv, kv_pages)?;
        Ok(HostDevice { program, model, weights, calls, sampler, spans, arena, cache })
    }

    /// Runs some of the program's steps over `batch`, on what the buffers hold.
    pub fn run(&mut self, steps: Range<usize>, batch: &Batch<'_>, mut observer: Option<&mut dyn Observer>) {
        let rows = batch.row_counts();
        let bucket = self.program.buckets.partition_point(|&bound| bound < rows.tokens as u64);
        let arena: &mut [f32] = bytemuck::cast_slice_mut(&mut self.arena);
        for index in steps {
            let (model, weights, cache) = (&self.model, &self.weights, &mut self.cache);
            let mut run = Run { model, weights, batch, rows, bucket, arena, cache };
            run.call(&self.calls[index]);
            if let Some(observer) = observer.as_deref_mut() {
                let view = BufferView::new(arena, &self.spans, rows);
                observer.after_step(index, &self.program.steps[index], &view);
            }
        }
    }

    /// The program whose steps are run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What a buffer holds for so many rows.
    pub fn buffer(&mut self, id: BufferId, rows: RowCounts) -> &mut [f32] {
        let arena: &mut [f32] = bytemuck::cast_slice_mut(&mut self.arena);
        &mut arena[self.spans[id.0 as usize].range(rows)]
    }
}

/// Zeroed pages that take memory only once they are written.
fn zeroed(what: &'static str, bytes: u64, remedy: &'static str) -> Result<MmapMut, DeviceError> {
    let mapped = MmapOptions::new().len(bytes.max(1) as usize).no_reserve_swap().map_anon();
    mapped.map_err(|source| DeviceError::Memory { what, bytes, remedy, source })
}

impl Cache {
    fn new(model: &Model, kv: &KvCache, pages: u32) -> Result<Cache, DeviceError> {
        let geometry = |layer| KvGeometry::for_layer(model, kv, layer);
        let layers: Vec<KvGeometry> = (0..model.layers as usize).map(geometry).collect();
        let layer_bytes = layers[0].page_bytes().saturating_mul(pages as usize);
        let total = layer_bytes.saturating_mul(layers.len()) as u64;
        let bytes = zeroed("KV cache", total, "give the engine fewer `kv_tokens`")?;
        Ok(Cache { bytes, layers, layer_bytes })
    }

    fn range(&self, layer: usize) -> Range<usize> {
        layer * self.layer_bytes..(layer + 1) * self.layer_bytes
    }
}

impl<W: Weights> Device for HostDevice<W> {
    fn step(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut [f32],
        observer: Option<&mut dyn Observer>,
    ) -> Result<(), DeviceError> {
        self.run(0..self.calls.len(), batch, observer);
        self.weights.after_batch();
        logits.copy_from_slice(self.buffer(self.program.logits, batch.row_counts()));
        Ok(())
    }

    fn step_and_sample(
        &mut self,
        batch: &Batch<'_>,
        requests: &[SampleRequest],
        sampled: &mut [Option<SampledToken>],
    ) -> Result<(), DeviceError> {
        self.run(0..self.calls.len(), batch, None);
        self.weights.after_batch();
        let sampler = self.sampler;
        sampler(SampleArgs {
            logits: self.buffer(self.program.logits, batch.row_counts()),
            requests,
            out: sampled,
        });
        Ok(())
    }

    fn output_logits(
        &mut self,
        batch: &Batch<'_>,
        output: usize,
        logits: &mut [f32],
    ) -> Result<(), DeviceError> {
        let rows = self.buffer(self.program.logits, batch.row_counts());
        logits.copy_from_slice(&rows[output * logits.len()..][..logits.len()]);
        Ok(())
    }
}

/// One program run over one batch.
struct Run<'a, W> {
    model: &'a Model,
    weights: &'a W,
    batch: &'a Batch<'a>,
    rows: RowCounts,
    bucket: usize,
    arena: &'a mut [f32],
    cache: &'a mut Cache,
}

impl<W: Weights> Run<'_, W> {
    fn call(&mut self, call: &Call) {
        let (weights, batch, bucket) = (self.weights, self.batch, self.bucket);
        match call {
            Call::Embed { weight, out, run } => {
                let (weight, scale) = (weights.tensor(*weight), self.model.embedding_scale as f32);
                let [out] = self.slices([out]);
                run[bucket](EmbedArgs { token_ids: batch.token_ids, weight, scale, out });
            }
            Call::RmsNorm { x, weight, eps, out, run } => {
                let [x, out] = self.slices([x, out]);
                run[bucket](RmsNormArgs { x, weight: vector(weights, *weight), eps: *eps, out });
            }
            Call::AddRmsNorm(operands) => self.add_rms_norm(operands),
            Call::Add { a, b, out, run } => {
                let [a, b, out] = self.slices([a, b, out]);
                run[bucket](AddArgs { a, b, out });
            }
            Call::Linear { x, weight, bias, out, run } => {
                let [x, out] = self.slices([x, out]);
                let bias = bias.map(|bias| vector(weights, bias));
                run[bucket](LinearArgs { x, weight: weights.tensor(*weight), bias, out });
            }
            Call::RopeAppend { qkv, layer, out, run } => self.rope_append([qkv, out], *layer, run[bucket]),
            Call::PagedAttention { q, layer, out, run } => self.attention([q, out], *layer, run[bucket]),
            Call::SiluMul { gate_up, out, run } => {
                let [gate_up, result] = self.slices([gate_up, out]);
                run[bucket](SiluMulArgs { gate_up, width: out.width, out: result });
            }
            Call::Concat { parts, out, run } => self.concat(parts, out, run[bucket]),
            Call::Gather { x, out, run } => {
                let [x, result] = self.slices([x, out]);
                run[bucket](GatherArgs { x, width: out.width, rows: batch.output_rows, out: result });
            }
        }
    }

    fn add_rms_norm(&mut self, operands: &AddRmsNorm) {
        let AddRmsNorm { x, residual, weight, eps, sum, out, run } = operands;
        if residual.start != sum.start {
            let [residual, sum] = self.slices([residual, sum]);
            sum.copy_from_slice(residual);
        }
        let (weight, run) = (vector(self.weights, *weight), run[self.bucket]);
        let [x, sum, out] = self.slices([x, sum, out]);
        run(AddRmsNormArgs { x, sum, weight, eps: *eps, out });
    }

    fn rope_append(&mut self, [qkv, out]: [&Span; 2], layer: usize, run: fn(RopeAppendArgs<'_>)) {
        let model = self.model;
        let range = self.cache.range(layer);
        let [qkv, out] = disjoint(self.arena, [qkv, out].map(|span| span.range(self.rows)));
        run(RopeAppendArgs {
            qkv,
            heads: model.heads as usize,
            inv_frequencies: model.inv_frequencies(layer as u64),
            rope_scale: model.rope.scale,
            sequences: self.batch.sequences,
            kv: self.cache.layers[layer],
            pool: &mut self.cache.bytes[range],
            out,
        });
    }

    fn attention(&mut self, [q, out]: [&Span; 2], layer: usize, run: fn(AttentionArgs<'_>)) {
        let model = self.model;
        let [q, out] = disjoint(self.arena, [q, out].map(|span| span.range(self.rows)));
        run(AttentionArgs {
            q,
            heads: model.heads as usize,
            window: model.window(layer as u64).map(|window| window as usize),
            sequences: self.batch.sequences,
            kv: self.cache.layers[layer],
            pool: &self.cache.bytes[self.cache.range(layer)],
            out,
        });
    }

    fn concat(&mut self, parts: &[Span], out: &Span, run: fn(ConcatArgs<'_>)) {
        let range = out.range(self.rows);
        let (before, rest) = self.arena.split_at_mut(range.start);
        let (result, after) = rest.split_at_mut(range.len());
        let part = |span: &Span| {
            let part = span.range(self.rows);
            // An open plan's operands lie apart, so that a part is wholly on one side of the result.
            if part.start < range.start {
                &before[part]
            } else {
                &after[part.start - range.end..][..part.len()]
            }
        };
        let parts: Vec<&[f32]> = parts.iter().map(part).collect();
        run(ConcatArgs { parts: &parts, width: out.width, out: result });
    }

    fn slices<const N: usize>(&mut self, spans: [&Span; N]) -> [&mut [f32]; N] {
        disjoint(self.arena, spans.map(|span| span.range(self.rows)))
    }
}

fn disjoint<const N: usize>(arena: &mut [f32], ranges: [Range<usize>; N]) -> [&mut [f32]; N] {
    arena.get_disjoint_mut(ranges).expect("an open plan's operands lie apart and within the arena")
}

/// A norm weight or bias, which an open plan stores as plain f32.
fn vector<W: Weights>(weights: &W, id: TensorId) -> &[f32] {
    weights.tensor(id).part_as(Component::Values)
}
