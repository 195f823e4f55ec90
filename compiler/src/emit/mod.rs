//! Emission: a planned model and its checkpoint become a plan directory.
//!
//! The weights are read, encoded, packed and written tensor by tensor, in parallel, with bounded memory (`memory`); each
//! byte's place is fixed beforehand (`place`). What was finished survives an interruption (`journal`); one rename
//! publishes the whole (`staging`).
//!
//! Never: a decision about formats, layouts, kernels or memory; those come with the [`PlanSpec`].

mod check;
mod code;
pub(crate) mod disk;
pub(crate) mod error;
mod golden;
mod hash;
mod journal;
pub(crate) mod manifest;
mod memory;
mod pack;
mod place;
mod progress;
mod schema;
pub(crate) mod staging;

use std::{fs, os::unix::fs::FileExt, path::Path};

pub use code::{CODE_REPORT, Code, CodeError, CodeFile};
pub use error::EmitError;
pub use golden::Probe;
pub use memory::{DEFAULT_BUDGET, PeakMemory};
pub use progress::{Bar, Progress, Silent};
pub use schema::{certificate_schema, plan_schema, profile_schema};

use self::{
    disk::{Space, reserve},
    error::During,
    journal::Journal,
    manifest::Manifest,
    memory::{Gate, workers},
    pack::{PackedWeights, Packing},
    place::{Placement, place},
    staging::{PLAN, Staging},
};
use crate::{
    certificate::{CERTIFICATE_FILE, Certificate, QualityEvidence},
    import::{CarriedFile, Checkpoint, FileIdentity},
    lower::PlanSpec,
    quantize::RoundedStore,
};
use samp_abi::plan::{GOLDEN_FILE, Plan};

/// The file that shows the planned graph to people.
pub const GRAPH_FILE: &str = "plan.mlir";

/// How to emit.
pub struct EmitOptions<'a> {
    /// The folder to make.
    pub out: &'a Path,
    /// Replace a plan that is already there.
    pub force: bool,
    /// Threads that compute; no byte depends on their number.
    pub threads: usize,
    /// Most bytes of tensors in flight, unless a single one takes more.
    pub memory_budget: u64,
    /// Hears of progress.
    pub progress: &'a dyn Progress,
    /// Runs the new plan for its golden probe.
    pub probe: &'a Probe<'a>,
    /// Where tensors with transforms are taken from.
    pub rounded: Option<&'a RoundedStore>,
    /// What is known of the plan's precision; `None` where nothing was measured.
    pub quality: Option<&'a QualityEvidence>,
}

/// What was emitted.
#[derive(Debug)]
pub struct Emitted {
    /// The manifest as published.
    pub plan: Plan,
    /// Tensors that were taken over from an interrupted run.
    pub resumed: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// What emitting will take, known before any weight is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Bytes of all weights, scales counted, alignment not.
    pub weights_bytes: u64,
    /// Bytes of the plan on disk; the files that are carried along are counted, the manifest is not.
    pub disk_bytes: u64,
    /// Peak resident memory.
    pub memory: PeakMemory,
}

/// Predicts what [`emit`] will take with so many threads and such a budget.
pub fn forecast(spec: &PlanSpec, threads: usize, memory_budget: u64) -> Forecast {
    let placement = place(&spec.tensors, spec.max_file_bytes);
    Forecast {
        weights_bytes: placement.weights_bytes(),
        disk_bytes: disk_bytes(spec, &placement),
        memory: PeakMemory::predict(spec, threads, memory_budget),
    }
}

/// Writes the plan. On any error the target is what it was before; after an interruption, a full disk or a failed
/// write the same call continues from the tensors that were finished.
pub fn emit(
    spec: &PlanSpec,
    checkpoint: &Checkpoint,
    options: &EmitOptions<'_>,
) -> Result<Emitted, EmitError> {
    check::check(spec, checkpoint)?;
    let code = Code::compile(spec, options.threads)?;
    let placement = place(&spec.tensors, spec.max_file_bytes);
    let bytes = disk_bytes(spec, &placement) + code.bytes();
    let space = Space { target: options.out.into(), bytes };
    let staging = Staging::open(options.out, PLAN, options.force)?;
    let emission =
        Emission { spec, checkpoint, options, code: &code, placement: &placement, staging: &staging };
    let written = emission.write(&space).map_err(|error| space.explain(error, &staging.out()));
    options.progress.end();
    match written {
        Ok(emitted) => staging.publish().map(|()| emitted),
        Err(error) if error.can_continue() => Err(error),
        Err(error) => {
            // Why nothing was emitted matters more than what could not be removed.
            let _ = staging.discard();
            Err(error)
        }
    }
}

/// Bytes of the weights files, the graph and the files that are carried along.
fn disk_bytes(spec: &PlanSpec, placement: &Placement) -> u64 {
    let size = |file: &CarriedFile| fs::metadata(&file.path).map_or(0, |m| m.len());
    placement.disk_bytes() + spec.mlir.len() as u64 + spec.carried.iter().map(size).sum::<u64>()
}

/// One emission under way.
struct Emission<'a> {
    spec: &'a PlanSpec,
    checkpoint: &'a Checkpoint,
    options: &'a EmitOptions<'a>,
    code: &'a Code,
    placement: &'a Placement,
    staging: &'a Staging,
}

impl Emission<'_> {
    /// Everything up to the rename.
    fn write(&self, space: &Space) -> Result<Emitted, EmitError> {
        let out = self.staging.out();
        let sources: Vec<&FileIdentity> = self.checkpoint.files().collect();
        let fingerprint = manifest::fingerprint(self.spec, &sources);
        let (journal, earlier) =
            Journal::open(&self.staging.journal(), &fingerprint, self.spec.tensors.len())?;
        let names: Vec<&str> = self.placement.files.iter().map(|f| f.path.as_str()).collect();
        let begun = earlier.iter().any(Option::is_some);
        self.staging.keep_only(if begun { &names } else { &[] })?;
        space.check(&out, begun)?;

        let packed = self.pack(&journal, earlier)?;
        let mut manifest = Manifest::new(self.spec, self.placement, &packed.tensors, &sources);
        manifest.add_file(&out, GRAPH_FILE, self.spec.mlir.as_bytes())?;
        let certificate = Certificate::of(self.spec, self.options.quality);
        manifest.add_json(&out, CERTIFICATE_FILE, &certificate)?;
        manifest.carry(&out, &self.spec.carried)?;
        self.code.add_to(&mut manifest, &out)?;
        self.options.progress.stage("running the probe");
        manifest.write(&out)?;
        let golden = golden::make_golden(&out, self.spec, self.options.probe)?;
        manifest.add_json(&out, GOLDEN_FILE, &golden)?;
        self.checkpoint.check_unchanged()?;
        let (plan, bytes) = manifest.write(&out)?;
        Ok(Emitted { plan, resumed: packed.resumed, bytes })
    }

    /// Makes the weights files and syncs them.
    fn pack(
        &self,
        journal: &Journal,
        earlier: Vec<Option<journal::Finished>>,
    ) -> Result<PackedWeights, EmitError> {
        let (options, placement) = (self.options, self.placement);
        options.progress.begin(placement.files.iter().map(|f| f.bytes - f.header_bytes).sum());
        let mut files = Vec::with_capacity(placement.files.len());
        for (weights, header) in placement.files.iter().zip(&placement.headers) {
            let path = self.staging.out().join(&weights.path);
            let file = reserve(&path, weights.bytes)?;
            file.write_all_at(header, 0).during("writing", &path)?;
            files.push((path, file));
        }
        let packing = Packing {
            tensors: &self.spec.tensors,
            placement,
            checkpoint: self.checkpoint,
            rounded: options.rounded,
            files,
            journal,
            earlier,
            gate: Gate::new(options.memory_budget),
            progress: options.progress,
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.max(1)).build();
        let pool = pool.map_err(std::io::Error::other).during("starting threads for", options.out)?;
        let packed = packing.run(&pool, workers(options.threads))?;
        options.progress.stage("syncing");
        packing.files.iter().try_for_each(|(path, file)| file.sync_all().during("syncing", path))?;
        Ok(packed)
    }
}

#[cfg(test)]
mod tests;
