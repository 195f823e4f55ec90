//! Whole steps of models without files, on the runtime's own device: from the ids of tokens to those that are chosen.

use std::{collections::BTreeMap, sync::Arc};

use samp_abi::{
    Format, Layout,
    plan::{Limits, Plan},
};
use samp_kernels::{attention::SequenceSlice, cuda::Source, sample::SampleRequest, target::Target};
use samp_runtime::{
    Batch,
    device::gpu::{Driver, GpuDevice},
    plan::code,
};

use super::{
    attention::{Kv, Load, PAGE_TOKENS},
    generated::Generated,
    linear::{Measured, Task},
    report::StepRow,
    synthetic_plan::SyntheticPlan,
};
use crate::{
    Gpu, GpuError,
    memory::Filler,
    outcome::TRY,
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
    /// Halves the number of sequences until weights, cache and results fit the target's memory, less a share for code, partial
    /// sums and whoever else is there. False where not even one fits.
    pub fn shrink(&mut self, target: &Target) -> Result<bool, GpuError> {
        let Some(memory) = target.memory_bytes else { return Ok(true) };
        loop {
            let plan = self.outline().manifest(target, |_| None)?;
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
        if self.what == What::Decode { 1 } else { self.load.context }
    }

    /// The model with limits that this step reaches.
    fn outline(&self) -> SyntheticPlan {
        let Job { sizes, recipe, kv, load, .. } = *self;
        let limits = Limits {
            max_tokens: self.tokens().into(),
            max_sequences: load.batch.into(),
            max_context: load.context.into(),
        };
        SyntheticPlan { sizes, recipe, kv, limits }
    }

    fn task(&self, projection: Projection, target: &Target) -> Task {
        let (rows, cols) = self.sizes.of(projection);
        let (format, f32_out) = (self.recipe.of(projection), projection == Projection::LmHead);
        Task { format, activations: self.recipe.activations(target), rows, cols, f32_out }
    }

    /// Bytes that the step reads at least: every linear, and what is cached.
    fn bytes(&self, plan: &Plan) -> u64 {
        let linears = Projection::ALL.into_iter().map(|projection| {
            let ((rows, cols), layers) = (self.sizes.of(projection), u64::from(self.sizes.layers));
            let each = Layout::MmaFragments.bytes(self.recipe.of(projection), rows.into(), cols.into());
            each * if projection == Projection::LmHead { 1 } else { layers }
        });
        let positions = u64::from(self.load.batch) * u64::from(self.load.context);
        let cached = if self.what == What::Decode { positions } else { 0 };
        linears.sum::<u64>() + cached * plan.memory.kv_bytes_per_token
    }
}

/// The sources of all kernels of a model's steps with weights of a format, but for the choice among those of a linear.
pub fn sources(sizes: Sizes, (format, kv): (Format, Kv), target: &Target) -> Result<Vec<Source>, GpuError> {
    let recipe = Recipe::uniform(format);
    let job = Job { sizes, recipe, kv, what: What::Decode, load: Load { batch: 1, context: 1 } };
    let plan = job.outline().manifest(target, |_| None)?;
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
    fn new(job: &Job) -> Tokens {
        let (load, each) = (job.load, job.new_tokens());
        let id = |i: u32| (u64::from(i) * 7919 % u64::from(job.sizes.vocab)) as u32;
        let table: Vec<u32> = load.table(1).into_iter().map(|page| page as u32).collect();
        Tokens {
            ids: (0..job.tokens()).map(id).collect(),
            pages: table.chunks_exact(load.pages() as usize).map(<[u32]>::to_vec).collect(),
            output_rows: (1..=load.batch).map(|sequence| sequence * each - 1).collect(),
        }
    }

    fn sequences(&self, job: &Job) -> Vec<SequenceSlice<'_>> {
        let tokens = job.new_tokens() as usize;
        let start = job.load.context as usize - tokens;
        self.pages.iter().map(|pages| SequenceSlice { start, tokens, pages }).collect()
    }
}

impl<D: Driver> Gpu<'_, D> {
    /// Measures a step: first each linear's candidates alone, then the whole with the fastest of them. Tells of each before it
    /// is launched.
    pub fn measure_step(
        &self,
        name: (&str, &str),
        job: Job,
        tell: &mut dyn FnMut(&str),
    ) -> Result<StepRow, GpuError> {
        let filler = self.filler()?;
        let mut chosen = BTreeMap::new();
        for projection in Projection::ALL {
            chosen.insert(projection, self.fastest(&filler, (&job, projection), tell)?.candidate.name);
        }
        tell(&format!("{TRY}{} of {}", name.0, job.sizes.name));
        let plan = job.outline().manifest(self.target, |projection| chosen.get(&projection).copied())?;
        let bytes = job.bytes(&plan);
        let contents =
            Generated { gpu: self, filler: &filler, manifest: Arc::new(plan), cached: job.kv.pattern() };
        let mut device = GpuDevice::load(self.driver, &contents, job.load.batch * job.load.pages())?;

        let tokens = Tokens::new(&job);
        let sequences = tokens.sequences(&job);
        let batch = Batch { token_ids: &tokens.ids, sequences: &sequences, output_rows: &tokens.output_rows };
        self.check_logits(&mut device, &batch, job.sizes.vocab)?;
        let requests = vec![SampleRequest::GREEDY; job.load.batch as usize];
        let mut sampled = vec![None; requests.len()];
        let timing = self.measure_waiting(&mut || device.step_and_sample(&batch, &requests, &mut sampled))?;
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
            kernels: chosen.into_values().map(str::to_owned).collect(),
        })
    }

    /// The fastest for the bucket of the step's tokens, of those that run. One that does not is no reason to go without a step;
    /// `bench kernels` tells of it.
    fn fastest(
        &self,
        filler: &Filler<D::Kernel>,
        (job, projection): (&Job, Projection),
        tell: &mut dyn FnMut(&str),
    ) -> Result<Measured, GpuError> {
        let (task, tokens) = (job.task(projection, self.target), job.tokens());
        let operands = self.operands(filler, &task, &[tokens])?;
        let mut best: Result<Measured, GpuError> = Err(task.without_kernel(tokens));
        for candidate in task.candidates(self.target, tokens) {
            let unit = format!("{} {}: {}", projection.name(), task.format, candidate.name);
            tell(&format!("{TRY}{unit}"));
            let time = |measured: &Measured| measured.timing.microseconds;
            let found = match self.measure_linear(&task, &operands, (candidate, tokens), &[]) {
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
