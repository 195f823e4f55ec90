//! Whole steps of models without files, on the runtime's own device: from the ids of tokens to those that are chosen.

use std::{collections::BTreeMap, sync::Arc};

use samp_abi::{
    Format, Layout,
    plan::{Limits, Plan},
};
use samp_kernels::{attention::SequenceSlice, cuda::Source, sample::SampleRequest, target::Target};
use samp_runtime::{
    Batch, Progress,
    device::gpu::{Driver, GpuDevice},
    plan::code,
};

use super::{
    attention::{PAGE_TOKENS, Workload},
    kv_format::KvFormat,
    linear::{LinearProblem, Measured},
    report::StepRow,
    synthetic_plan::SyntheticPlan,
    synthetic_source::SyntheticSource,
};
use crate::{
    error::GpuError,
    gpu::Gpu,
    memory::FillKernel,
    model_shape::{MatrixShape, ModelShape, Projection},
    outcome::TRY,
    recipe_formats::RecipeFormats,
};

/// Which positions of the sequences a step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// A token of each sequence, with all positions before it cached.
    Decode,
    /// All tokens of each sequence, with none cached.
    Prefill,
}

/// What a step is called in reports.
#[derive(Clone, Copy, Debug)]
pub struct StepNames<'a> {
    /// `decode`, `prefill` or `throughput`.
    pub kind: &'a str,
    /// The recipe, as it was asked for.
    pub recipe: &'a str,
}

/// A step to be measured.
#[derive(Clone, Copy, Debug)]
pub struct ModelStep {
    /// Sizes of the model.
    pub shape: ModelShape,
    /// Formats of its weights.
    pub formats: RecipeFormats,
    /// Format of its cache.
    pub kv: KvFormat,
    /// Which positions it computes.
    pub kind: StepKind,
    /// Sequences and positions of each.
    pub load: Workload,
}

impl ModelStep {
    /// Halves the number of sequences until weights, cache and results fit the target's memory, less a share for code, partial
    /// sums and whoever else is there. False where not even one fits.
    pub fn shrink(&mut self, target: &Target) -> Result<bool, GpuError> {
        let Some(memory) = target.memory_bytes else { return Ok(true) };
        loop {
            let plan = self.plan().manifest(target, |_| None)?;
            let positions = u64::from(self.load.batch * self.load.pages() * PAGE_TOKENS);
            let cache = positions * plan.memory.kv_bytes_per_token;
            if plan.memory.weights_bytes + plan.memory.arena_bytes + cache <= memory / 100 * 93 {
                return Ok(true);
            }
            if self.load.batch == 1 {
                return Ok(false);
            }
            self.load.batch /= 2;
        }
    }

    /// Tokens of the step.
    pub fn tokens(&self) -> u32 {
        self.load.batch * self.new_tokens()
    }

    /// Tokens of each sequence.
    fn new_tokens(&self) -> u32 {
        if self.kind == StepKind::Decode { 1 } else { self.load.context }
    }

    /// The model with limits that this step reaches.
    fn plan(&self) -> SyntheticPlan {
        let ModelStep { shape, formats, kv, load, .. } = *self;
        let limits = Limits {
            max_tokens: self.tokens().into(),
            max_sequences: load.batch.into(),
            max_context: load.context.into(),
        };
        SyntheticPlan { shape, formats, kv, limits }
    }

    fn problem(&self, projection: Projection, target: &Target) -> LinearProblem {
        LinearProblem {
            format: self.formats.weight_format(projection),
            activations: self.formats.activations(target),
            matrix: self.shape.matrix(projection),
            f32_out: projection == Projection::LmHead,
        }
    }

    /// Bytes that the step reads at least: every linear, and what is cached.
    fn bytes(&self, plan: &Plan) -> u64 {
        let linears = Projection::ALL.into_iter().map(|projection| {
            let MatrixShape { rows, cols } = self.shape.matrix(projection);
            let (format, layers) = (self.formats.weight_format(projection), u64::from(self.shape.layers));
            let each = Layout::MmaFragments.bytes(format, rows.into(), cols.into());
            each * if projection == Projection::LmHead { 1 } else { layers }
        });
        let positions = u64::from(self.load.batch) * u64::from(self.load.context);
        let cached = if self.kind == StepKind::Decode { positions } else { 0 };
        linears.sum::<u64>() + cached * plan.memory.kv_bytes_per_token
    }
}

/// The sources of all kernels of a model's steps with weights of a format, but for the choice among those of a linear.
pub fn sources(
    shape: ModelShape,
    format: Format,
    kv: KvFormat,
    target: &Target,
) -> Result<Vec<Source>, GpuError> {
    let (formats, load) = (RecipeFormats::uniform(format), Workload { batch: 1, context: 1 });
    let step = ModelStep { shape, formats, kv, kind: StepKind::Decode, load };
    let plan = step.plan().manifest(target, |_| None)?;
    let capability = target.compute_capability.expect("models are measured on GPUs");
    let kernels =
        code::plan_kernels(&plan).map_err(|missing| GpuError::Kernel { what: missing.to_string() })?;
    Ok(code::sources(&kernels, capability).into_values().collect())
}

/// A step's sequences, as the engine hands them to a device.
struct Tokens {
    ids: Vec<u32>,
    /// Of each sequence.
    pages: Vec<Vec<u32>>,
    output_rows: Vec<u32>,
}

impl Tokens {
    fn new(step: &ModelStep) -> Tokens {
        let (load, each) = (step.load, step.new_tokens());
        let id = |i: u32| (u64::from(i) * 7919 % u64::from(step.shape.vocab)) as u32;
        let table: Vec<u32> = load.table(1).into_iter().map(|page| page as u32).collect();
        Tokens {
            ids: (0..step.tokens()).map(id).collect(),
            pages: table.chunks_exact(load.pages() as usize).map(<[u32]>::to_vec).collect(),
            output_rows: (1..=load.batch).map(|sequence| sequence * each - 1).collect(),
        }
    }

    fn sequences(&self, step: &ModelStep) -> Vec<SequenceSlice<'_>> {
        let tokens = step.new_tokens() as usize;
        let start = step.load.context as usize - tokens;
        self.pages.iter().map(|pages| SequenceSlice { start, tokens, pages }).collect()
    }
}

impl<D: Driver> Gpu<'_, D> {
    /// Measures a step: first each linear's candidates alone, then the whole with the fastest of them. Each is noted before
    /// it is launched.
    pub fn measure_step(
        &self,
        names: StepNames<'_>,
        step: ModelStep,
        progress: &dyn Progress,
    ) -> Result<StepRow, GpuError> {
        let fill = self.fill_kernel()?;
        let mut chosen = BTreeMap::new();
        for projection in Projection::ALL {
            chosen.insert(projection, self.fastest(&fill, &step, projection, progress)?.candidate.name);
        }
        progress.note(&format!("{TRY}{} of {}", names.kind, step.shape.name));
        let plan = step.plan().manifest(self.target, |projection| chosen.get(&projection).copied())?;
        let bytes = step.bytes(&plan);
        let source =
            SyntheticSource { gpu: self, fill: &fill, manifest: Arc::new(plan), cached: step.kv.pattern() };
        let mut device = GpuDevice::load(self.driver, &source, step.load.batch * step.load.pages())?;

        let tokens = Tokens::new(&step);
        let sequences = tokens.sequences(&step);
        let batch = Batch { token_ids: &tokens.ids, sequences: &sequences, output_rows: &tokens.output_rows };
        self.check_logits(&mut device, &batch, step.shape.vocab)?;
        let requests = vec![SampleRequest::GREEDY; step.load.batch as usize];
        let mut sampled = vec![None; requests.len()];
        let timing = self.measure_waiting(&mut || device.step_and_sample(&batch, &requests, &mut sampled))?;
        let seconds = timing.microseconds / 1e6;
        Ok(StepRow {
            what: names.kind.into(),
            model: step.shape.name.into(),
            recipe: names.recipe.into(),
            kv: step.kv.name().into(),
            batch: step.load.batch,
            context: step.load.context,
            tokens: step.tokens(),
            timing,
            tokens_per_second: f64::from(step.tokens()) / seconds,
            bytes,
            gbs: bytes as f64 / seconds / 1e9,
            kernels: chosen.into_values().map(str::to_owned).collect(),
        })
    }

    /// The fastest for the bucket of the step's tokens, of those that run. One that does not is no reason to go without a step;
    /// `bench kernels` tells of it.
    fn fastest(
        &self,
        fill: &FillKernel<'_, D>,
        step: &ModelStep,
        projection: Projection,
        progress: &dyn Progress,
    ) -> Result<Measured, GpuError> {
        let (problem, tokens) = (step.problem(projection, self.target), step.tokens());
        let operands = self.operands(fill, &problem, &[tokens])?;
        let mut best: Result<Measured, GpuError> = Err(problem.without_kernel(tokens));
        for candidate in problem.candidates(self.target, tokens) {
            let unit = format!("{} {}: {}", projection.name(), problem.format, candidate.name);
            progress.note(&format!("{TRY}{unit}"));
            let time = |measured: &Measured| measured.timing.microseconds;
            let found = match self.measure_linear(&problem, &operands, candidate, tokens, &[]) {
                Ok(own) => Ok(own[0]),
                Err(error) => Err(self.unless_lost(&unit, error)?),
            };
            best = match (best, found) {
                (Ok(old), Ok(new)) => Ok(if time(&old) <= time(&new) { old } else { new }),
                (Ok(old), Err(_)) => Ok(old),
                (Err(_), found) => found,
            };
        }
        best
    }

    /// Refuses a step that does not come to a result.
    fn check_logits(
        &self,
        device: &mut GpuDevice<&D>,
        batch: &Batch<'_>,
        vocab: u32,
    ) -> Result<(), GpuError> {
        let mut logits = vec![f32::NAN; batch.output_rows.len() * vocab as usize];
        device.step(batch, &mut logits, None)?;
        let finite = logits.iter().all(|x| x.is_finite()) && logits.iter().any(|x| *x != 0.0);
        if finite { Ok(()) } else { Err(GpuError::NotFinite) }
    }
}
