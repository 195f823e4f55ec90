//! What a server loads: the plan, and the baseline that it is judged by.

use std::sync::Arc;

use samp_abi::plan::Limits;
use samp_runtime::{
    DeviceKind, Engine, EngineError, EngineOptions, OpenPlan, open, thread_pool, tokenizer::TOKENIZER_FILE,
};

use crate::{
    args::Options,
    client::Endpoint,
    error::ServeError,
    judge::{Judge, JudgeParts, JudgeSettings, Reference, Teacher},
};

/// What is loaded before the server listens.
pub struct Loaded {
    pub plan: Arc<OpenPlan>,
    pub engine: Engine,
    pub baseline: Option<Baseline>,
}

/// What the plan is judged by, with the engine that takes over from it.
pub struct Baseline {
    pub plan: Arc<OpenPlan>,
    pub engine: Engine,
}

/// The judge of a plan, with an engine of its own for the baseline.
pub fn judge(plan: &OpenPlan, baseline: &Arc<OpenPlan>, options: &Options) -> Result<Arc<Judge>, ServeError> {
    let device = DeviceKind::for_target(baseline.manifest().target).map_err(EngineError::from)?;
    let kv_tokens = Some(baseline.manifest().limits.max_context);
    let engine_options = EngineOptions { kv_tokens, self_test: false, ..EngineOptions::default() };
    let threads = thread_pool(Some(options.shadow_threads))?;
    let engine = threads.install(|| Engine::new(baseline.clone(), device, engine_options))?;
    let names = [plan, baseline].map(|plan| plan.digest().to_owned());
    let canary = options.canary.0.clone();
    Judge::start(parts(Reference::Engine(Box::new(engine)), names, canary, options))
}

/// The judge of a plan that asks a teacher. Nobody else could answer, so that the plan answers all from the beginning.
pub fn taught_judge(
    plan: &OpenPlan,
    teacher: &Endpoint,
    options: &Options,
) -> Result<Arc<Judge>, ServeError> {
    let names = [plan.digest().to_owned(), teacher.shown()];
    let teacher = Teacher::new(teacher.clone()).map_err(ServeError::Thread)?;
    Judge::start(parts(Reference::Teacher(teacher), names, vec![], options))
}

fn parts(reference: Reference, names: [String; 2], canary: Vec<f64>, options: &Options) -> JudgeParts {
    let limit = JudgeSettings::limit_of_drift(options.drift_limit);
    let settings = JudgeSettings { limit, canary, hold: options.rollback_hold };
    JudgeParts { reference, names, settings, share: options.shadow, state_file: options.state.clone() }
}

/// Refuses a baseline that is not of the plan's own checkpoint, or does not take what the plan takes.
fn check_baseline(plan: &OpenPlan, baseline: &OpenPlan) -> Result<(), ServeError> {
    let (own, other) = (plan.manifest(), baseline.manifest());
    let wrong = |found: &str| {
        Err(ServeError::Baseline { baseline: baseline.dir().display().to_string(), found: found.to_owned() })
    };
    let takes = |limits: Limits| [limits.max_context, limits.max_sequences, limits.max_tokens];
    if own.provenance.sources != other.provenance.sources {
        return wrong("it was made from other files than the plan");
    }
    if plan.file(TOKENIZER_FILE) != baseline.file(TOKENIZER_FILE) {
        return wrong("it has another tokenizer than the plan");
    }
    if takes(other.limits).iter().zip(takes(own.limits)).any(|(other, own)| *other < own) {
        return wrong("it takes shorter sequences, fewer of them, or smaller steps than the plan");
    }
    if own.kv.page_tokens != other.kv.page_tokens {
        return wrong("its cache has pages of another size");
    }
    Ok(())
}

/// Opens, checks and loads all of it.
pub fn load(options: &Options) -> Result<Loaded, ServeError> {
    let plan = Arc::new(open(&options.plan)?);
    if let Some(expected) = &options.digest {
        let found = plan.digest().to_owned();
        if expected.strip_prefix("blake3:").unwrap_or(expected).to_lowercase() != found {
            return Err(ServeError::Digest { expected: expected.clone(), found });
        }
    }
    let engine = load_engine(&plan, options)?;
    let baseline = match &options.baseline {
        None => None,
        Some(folder) => {
            let baseline = Arc::new(open(folder)?);
            check_baseline(&plan, &baseline)?;
            let engine = load_engine(&baseline, options)?;
            Some(Baseline { plan: baseline, engine })
        }
    };
    Ok(Loaded { plan, engine, baseline })
}

fn load_engine(plan: &Arc<OpenPlan>, options: &Options) -> Result<Engine, ServeError> {
    let device = match options.device {
        Some(device) => device,
        None => DeviceKind::for_target(plan.manifest().target).map_err(EngineError::from)?,
    };
    let engine_options = EngineOptions {
        kv_tokens: options.kv_tokens,
        gpu_memory_utilization: options.gpu_memory_utilization,
        self_test: true,
    };
    // An engine on the CPU has as many threads as the pool that it is made in.
    let threads = thread_pool(options.threads)?;
    Ok(threads.install(|| Engine::new(plan.clone(), device, engine_options))?)
}
