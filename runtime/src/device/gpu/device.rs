//! A device over a driver: the plan's kernels, weights and memory on a GPU, and its steps as launches.

use std::{collections::BTreeMap, sync::Arc};

use half::{bf16, f16};
use samp_abi::{
    ElementType,
    plan::{Buffer, BufferId, Plan, Program},
};
use samp_kernels::{
    attention::KvGeometry,
    instantiate::{LaunchOp, LaunchSpec},
    sample::{SampleRequest, SampledToken},
    target::Target,
};

use super::{
    Arg, Driver, DriverError, PlanSource,
    inputs::Inputs,
    padding::{PaddedBatch, max_decode_sequences, spare_pages},
    sampled_tokens::SampledTokens,
    scratch::{Scratch, WorkspaceSize},
    step_shape::StepShape,
    weights::Weights,
};
use crate::{
    device::{
        DeviceError,
        buffers::{BufferView, RowCounts, Span},
        step::{Batch, Device, Observer},
    },
    plan::code,
};

/// Executes one plan on one GPU.
pub struct GpuDevice<D: Driver> {
    pub(super) driver: D,
    pub(super) plan: Arc<Plan>,
    pub(super) target: &'static Target,
    /// Of each step, the kernel of each bucket.
    pub(super) kernels: Vec<Vec<StepKernel>>,
    /// Where the code of the kernel that chooses tokens is in `code`.
    pub(super) sampler: usize,
    pub(super) code: Vec<D::Kernel>,
    pub(super) weights: Weights<D::Memory>,
    pub(super) arena: D::Memory,
    pub(super) cache: Cache<D::Memory>,
    pub(super) inputs: Inputs<D::Memory>,
    pub(super) sampled: SampledTokens<D::Memory>,
    pub(super) scratch: Scratch<D::Memory>,
    /// Half turns per position of each channel pair, f64.
    pub(super) half_turns: D::Memory,
    /// Pages of the cache that no sequence has.
    spare: Vec<u32>,
    /// Of decode steps that were seen: recorded when they come a second time, since code is loaded and memory taken when a
    /// kernel first runs, and many shapes never come again.
    graphs: BTreeMap<StepShape, Option<D::Graph>>,
}

/// The kernel of a step in one bucket, and where the code of each of its sources is in [`GpuDevice::code`].
pub(super) struct StepKernel {
    pub kernel: LaunchOp,
    pub code: Vec<usize>,
}

/// The KV pools of all layers, one after another.
pub(super) struct Cache<M> {
    memory: M,
    layer_bytes: u64,
    scales: Vec<[f32; 2]>,
}

impl<M> Cache<M> {
    fn new<D: Driver<Memory = M>>(
        driver: &D,
        plan: &Plan,
        pages: u32,
        plan_source: &impl PlanSource<D>,
    ) -> Result<Cache<M>, DriverError> {
        let (model, kv) = (&plan.model, &plan.kv);
        let geometry = KvGeometry::for_layer(model, kv, 0);
        let layer_bytes = geometry.page_bytes() as u64 * u64::from(pages);
        let bytes = layer_bytes * model.layers;
        let memory = driver.allocate("KV cache", bytes)?;
        plan_source.write_cache(driver, &memory, bytes)?;
        Ok(Cache { memory, layer_bytes, scales: kv.scales.clone() })
    }

    /// The pool of a layer.
    pub fn pool(&self, layer: u64) -> Arg<'_, M> {
        Arg::Memory { memory: &self.memory, offset: layer * self.layer_bytes, bytes: self.layer_bytes }
    }

    /// The scales of its keys and its values.
    pub fn scales<'a>(&self, layer: u64) -> [Arg<'a, M>; 2] {
        self.scales.get(layer as usize).copied().unwrap_or([1.0; 2]).map(Arg::F32)
    }
}

impl<D: Driver> GpuDevice<D> {
    /// Loads code and weights, and makes a cache of `kv_pages` pages.
    pub fn load(
        driver: D,
        plan_source: &impl PlanSource<D>,
        kv_pages: u32,
    ) -> Result<GpuDevice<D>, DeviceError> {
        let plan = plan_source.manifest();
        let target = Target::of(plan.target);
        let Code { kernels, sampler, code } = load_code(&driver, &plan, plan_source, target)?;
        let weights = Weights::load(&driver, &plan, plan_source)?;
        let arena = driver.allocate("activation arena", plan.memory.arena_bytes.max(1))?;
        let spare: Vec<u32> = (0..spare_pages(&plan)).map(|page| kv_pages.saturating_add(page)).collect();
        let cache = Cache::new(&driver, &plan, kv_pages.saturating_add(spare.len() as u32), plan_source)?;
        let inputs = Inputs::new(&driver, &plan)?;
        let sampled = SampledTokens::new(&driver, plan.limits.max_tokens)?;
        let scratch = Scratch::new(&driver, max_workspace(&plan, &kernels, target))?;
        let half_turns = half_turns(&driver, &plan.model.rope.inv_frequencies)?;
        let graphs = BTreeMap::new();
        #[rustfmt::skip]
        let device = GpuDevice {
            driver, plan, target, kernels, sampler, code, weights, arena, cache, inputs, sampled, scratch, half_turns,
            spare, graphs,
        };
        Ok(device)
    }

    /// [`Device::step`], also on a GPU that is shared.
    pub fn step(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut [f32],
        observer: Option<&mut dyn Observer>,
    ) -> Result<(), DriverError> {
        match observer {
            None => {
                self.execute(batch, &[])?;
            }
            Some(observer) => {
                let shape = StepShape::new(batch, false);
                self.inputs.upload(&self.driver, batch, &[], &shape)?;
                self.launch_observed(&shape, batch.row_counts(), observer)?;
            }
        }
        self.fetch(self.program().logits, 0, logits)
    }

    /// [`Device::step_and_sample`], also on a GPU that is shared.
    pub fn step_and_sample(
        &mut self,
        batch: &Batch<'_>,
        requests: &[SampleRequest],
        sampled: &mut [Option<SampledToken>],
    ) -> Result<(), DriverError> {
        let shape = self.execute(batch, requests)?;
        self.sampled.fetch(&self.driver, shape.outputs, sampled)
    }

    pub(super) fn program(&self) -> &Program {
        &self.plan.program
    }

    fn buffer(&self, id: BufferId) -> &Buffer {
        &self.program().buffers[id.0 as usize]
    }

    /// So many rows of a buffer.
    pub(super) fn rows(&self, id: BufferId, rows: u32) -> Arg<'_, D::Memory> {
        let buffer = self.buffer(id);
        let bytes = u64::from(rows) * buffer.width * buffer.dtype.bytes();
        Arg::Memory { memory: &self.arena, offset: buffer.offset, bytes }
    }

    /// Runs a batch, and the sampler where tokens are asked for: as a step of the shape that it gives.
    fn execute(&mut self, batch: &Batch<'_>, requests: &[SampleRequest]) -> Result<StepShape, DriverError> {
        let padded = PaddedBatch::new(batch, requests, &self.plan, &self.spare);
        let shape = StepShape::new(&padded.batch(), !requests.is_empty());
        self.inputs.upload(&self.driver, &padded.batch(), &padded.requests, &shape)?;
        self.launch_recorded(&shape)?;
        Ok(shape)
    }

    /// Launches all steps, and the sampler where tokens are chosen.
    fn launch_all(&self, shape: &StepShape) -> Result<(), DriverError> {
        (0..self.program().steps.len()).try_for_each(|index| self.launch(index, shape))?;
        if shape.sampling { self.launch_sampler(shape) } else { Ok(()) }
    }

    /// The same as recorded, from the second time on that a decode step of this shape comes.
    fn launch_recorded(&mut self, shape: &StepShape) -> Result<(), DriverError> {
        match self.graphs.get(shape) {
            Some(Some(graph)) => self.driver.replay(graph),
            Some(None) => {
                let graph = self.driver.record(&mut || self.launch_all(shape))?;
                self.driver.replay(&graph)?;
                self.graphs.insert(*shape, Some(graph));
                Ok(())
            }
            None => {
                if shape.is_decode() {
                    self.graphs.insert(*shape, None);
                }
                self.launch_all(shape)
            }
        }
    }

    /// Launches step by step, and shows the observer what each leaves.
    fn launch_observed(
        &self,
        shape: &StepShape,
        rows: RowCounts,
        observer: &mut dyn Observer,
    ) -> Result<(), DriverError> {
        let (spans, elements) = Span::all(self.program(), self.plan.memory.arena_bytes);
        let mut arena = vec![0.0; elements as usize];
        for (index, step) in self.program().steps.iter().enumerate() {
            self.launch(index, shape)?;
            for id in step.op.reads().into_iter().chain(step.op.writes()) {
                self.fetch(id, 0, &mut arena[spans[id.0 as usize].range(rows)])?;
            }
            observer.after_step(index, step, &BufferView::new(&arena, &spans, rows));
        }
        Ok(())
    }

    /// Reads a buffer from its element `first` on.
    fn fetch(&self, id: BufferId, first: u64, to: &mut [f32]) -> Result<(), DriverError> {
        let buffer = self.buffer(id);
        let offset = buffer.offset + first * buffer.dtype.bytes();
        if buffer.dtype.bytes() == 4 {
            return self.driver.download(&self.arena, offset, bytemuck::cast_slice_mut(to));
        }
        let mut narrow = vec![0u16; to.len()];
        self.driver.download(&self.arena, offset, bytemuck::cast_slice_mut(&mut narrow))?;
        let widened: fn(u16) -> f32 = match buffer.dtype {
            ElementType::Bf16 => |bits| bf16::from_bits(bits).to_f32(),
            _ => |bits| f16::from_bits(bits).to_f32(),
        };
        to.iter_mut().zip(narrow).for_each(|(to, bits)| *to = widened(bits));
        Ok(())
    }
}

impl<D: Driver + Send> Device for GpuDevice<D> {
    fn step(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut [f32],
        observer: Option<&mut dyn Observer>,
    ) -> Result<(), DeviceError> {
        Ok(GpuDevice::step(self, batch, logits, observer)?)
    }

    fn step_and_sample(
        &mut self,
        batch: &Batch<'_>,
        requests: &[SampleRequest],
        sampled: &mut [Option<SampledToken>],
    ) -> Result<(), DeviceError> {
        Ok(GpuDevice::step_and_sample(self, batch, requests, sampled)?)
    }

    fn output_logits(&mut self, _: &Batch<'_>, output: usize, logits: &mut [f32]) -> Result<(), DeviceError> {
        Ok(self.fetch(self.program().logits, (output * logits.len()) as u64, logits)?)
    }
}

/// StepKernel code, and where in it each kernel's is.
struct Code<K> {
    kernels: Vec<Vec<StepKernel>>,
    sampler: usize,
    code: Vec<K>,
}

/// Loads the code of every kernel once.
fn load_code<D: Driver>(
    driver: &D,
    plan: &Plan,
    plan_source: &impl PlanSource<D>,
    target: &Target,
) -> Result<Code<D::Kernel>, DeviceError> {
    let kernels = code::plan_kernels(plan)
        .map_err(|missing| DeviceError::Kernel { step: missing.step, kernel: missing.kernel })?;
    let capability = target.compute_capability.expect("an open plan with code is for a GPU");
    let (mut index, mut code) = (BTreeMap::new(), vec![]);
    for (path, source) in code::sources(&kernels, capability) {
        code.push(driver.load(&source, &plan_source.code(&path, &source)?)?);
        index.insert(source, code.len() - 1);
    }
    let place = |spec: LaunchSpec| {
        let code = spec.sources().iter().map(|source| index[source]).collect();
        StepKernel { kernel: spec.op, code }
    };
    let sampler = place(kernels.sampler).code[0];
    let kernels = kernels.steps.into_iter().map(|step| step.into_iter().map(place).collect()).collect();
    Ok(Code { kernels, sampler, code })
}

/// What the most demanding launch needs. Fewer rows may take more, since more blocks share them out.
fn max_workspace(plan: &Plan, kernels: &[Vec<StepKernel>], target: &Target) -> WorkspaceSize {
    let mut distinct: Vec<(&LaunchOp, u64)> = vec![];
    for (StepKernel { kernel, .. }, &bound) in
        kernels.iter().flat_map(|step| step.iter().zip(&plan.program.buckets))
    {
        let most_rows = match kernel {
            LaunchOp::Linear(_) => bound,
            LaunchOp::Attention(_) => bound.min(max_decode_sequences(plan)),
            _ => 0,
        };
        if !distinct.contains(&(kernel, most_rows)) {
            distinct.push((kernel, most_rows));
        }
    }
    let need =
        |kernel, rows| WorkspaceSize::for_launch(kernel, rows as u32, plan.limits.max_context as u32, target);
    let needs = distinct.iter().flat_map(|&(kernel, most)| (1..=most).map(move |rows| need(kernel, rows)));
    needs.fold(WorkspaceSize::default(), WorkspaceSize::max)
}

fn half_turns<M>(driver: &impl Driver<Memory = M>, frequencies: &[f64]) -> Result<M, DriverError> {
    let turns: Vec<u8> = frequencies.iter().flat_map(|f| (f / std::f64::consts::PI).to_le_bytes()).collect();
    let memory = driver.allocate("rotary frequencies", turns.len() as u64)?;
    driver.upload(&memory, 0, &turns)?;
    Ok(memory)
}
