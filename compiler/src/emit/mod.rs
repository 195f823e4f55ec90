//! Emission: a planned model and its checkpoint become a plan directory.
//!
//! The weights are read, encoded, packed and written tensor by tensor, in parallel, with bounded memory (`memory`); each
//! byte's place is fixed beforehand (`place`). What was finished survives an interruption (`journal`); one rename
//! publishes the whole (`staging`).
//!
//! Never: a decision about formats, layouts, kernels or memory; those come with the [`PlanSpec`].

mod check;
pub(crate) mod disk;
mod encoded_weights;
pub(crate) mod error;
mod file_names;
mod golden;
mod hash;
mod journal;
mod lock;
mod machine_code;
pub(crate) mod manifest;
mod memory;
pub(crate) mod output_kind;
mod pack;
mod publication;
pub(crate) mod staging;
mod weight_files;
mod work_folder;
mod write_back;

use std::{os::unix::fs::FileExt, path::Path};

pub use encoded_weights::EncodedWeights;
pub use error::{CodeError, EmitError, ProbeError};
pub use file_names::{CERTIFICATE_FILE, GRAPH_FILE};
pub use golden::{Probe, ProbeLogits};
pub use machine_code::{CODE_REPORT, CubinFile, MachineCode};
pub use memory::{DEFAULT_BUDGET, PeakMemory};
pub(crate) use output_kind::PLAN;
pub(crate) use publication::Publication;
pub use publication::stop_publishing;
pub use staging::check_place;
pub(crate) use staging::{check_beside, check_target, unfinished};
pub(crate) use work_folder::WorkFolder;

use self::{
    disk::{DiskSpace, reserve},
    error::During,
    journal::Journal,
    manifest::Manifest,
    memory::{MemoryGate, workers},
    pack::{PackedWeights, Packing},
    staging::Staging,
    weight_files::WeightFiles,
    write_back::WriteBack,
};
use crate::{
    import::{CarriedFile, Checkpoint, FileIdentity},
    lower::PlanSpec,
};
use samp_abi::plan::{GOLDEN_FILE, Plan};
use samp_runtime::{Progress, thread_pool};

/// How to emit.
pub struct EmitOptions<'a> {
    /// The folder to make.
    pub out: &'a Path,
    /// Replace a plan that is already there.
    pub force: bool,
    /// Threads that compute, at least 1; no byte depends on their number.
    pub threads: usize,
    /// Most bytes of tensors in flight, unless a single one takes more.
    pub memory_budget: u64,
    /// Hears of progress.
    pub progress: &'a dyn Progress,
    /// Runs the new plan for its golden probe.
    pub probe: &'a Probe<'a>,
    /// Where tensors with transforms are taken from.
    pub encoded_weights: Option<&'a dyn EncodedWeights>,
    /// The text of [`CERTIFICATE_FILE`].
    pub certificate: &'a str,
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
    /// Held until what was kept for the plan is gone.
    pub(crate) publication: Option<Publication>,
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
    let placed = WeightFiles::new(&spec.tensors, spec.max_file_bytes);
    Forecast {
        weights_bytes: placed.weights_bytes(),
        disk_bytes: disk_bytes(spec, &placed),
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
    let code = MachineCode::compile(spec, options.threads)?;
    let placed = WeightFiles::new(&spec.tensors, spec.max_file_bytes);
    let bytes = disk_bytes(spec, &placed) + code.bytes();
    let space = DiskSpace { target: options.out.into(), bytes };
    let staging = Staging::open(options.out, PLAN, options.force)?;
    let emission = Emission { spec, checkpoint, options, code: &code, placed: &placed, staging: &staging };
    let written = emission.write(&space).map_err(|error| space.explain(error, &staging.out(), true));
    options.progress.end();
    match written {
        Ok(emitted) => {
            let publication = Some(staging.publish()?);
            options.progress.published(options.out);
            Ok(Emitted { publication, ..emitted })
        }
        Err(error) if error.can_continue() => Err(error),
        Err(error) => {
            // Why nothing was emitted matters more than what could not be removed.
            let _ = staging.discard();
            Err(error)
        }
    }
}

/// Bytes of the weights files, the graph and the files that are carried along.
fn disk_bytes(spec: &PlanSpec, placed: &WeightFiles) -> u64 {
    placed.disk_bytes() + spec.mlir.len() as u64 + spec.carried.iter().map(CarriedFile::len).sum::<u64>()
}

/// One emission under way.
struct Emission<'a> {
    spec: &'a PlanSpec,
    checkpoint: &'a Checkpoint,
    options: &'a EmitOptions<'a>,
    code: &'a MachineCode,
    placed: &'a WeightFiles,
    staging: &'a Staging,
}

impl Emission<'_> {
    /// Everything up to the rename.
    fn write(&self, space: &DiskSpace) -> Result<Emitted, EmitError> {
        let out = self.staging.out();
        let sources: Vec<&FileIdentity> = self.checkpoint.files().collect();
        let fingerprint = manifest::fingerprint(self.spec, &sources);
        let (journal, earlier) =
            Journal::open(&self.staging.journal(), &fingerprint, self.spec.tensors.len())?;
        let names: Vec<&str> = self.placed.files.iter().map(|f| f.path.as_str()).collect();
        let begun = earlier.iter().any(Option::is_some);
        self.staging.keep_only(if begun { &names } else { &[] })?;
        space.check(&out, begun)?;

        let packed = self.pack(&journal, earlier)?;
        let mut manifest = Manifest::new(self.spec, self.placed, &packed.tensors, &sources);
        manifest.add_file(&out, GRAPH_FILE, self.spec.mlir.as_bytes())?;
        manifest.add_file(&out, CERTIFICATE_FILE, self.options.certificate.as_bytes())?;
        manifest.carry(&out, &self.spec.carried)?;
        self.code.add_to(&mut manifest, &out)?;
        self.options.progress.begin("running the probe", 0);
        manifest.write(&out)?;
        let golden = golden::make_golden(&out, self.spec, self.options.probe)?;
        manifest.add_json(&out, GOLDEN_FILE, &golden)?;
        self.checkpoint.check_unchanged()?;
        let (plan, bytes) = manifest.write(&out)?;
        Ok(Emitted { plan, resumed: packed.resumed, bytes, publication: None })
    }

    /// Makes the weights files and syncs them.
    fn pack(
        &self,
        journal: &Journal,
        earlier: Vec<Option<journal::PackedTensor>>,
    ) -> Result<PackedWeights, EmitError> {
        let (options, placed) = (self.options, self.placed);
        let data_bytes = placed.files.iter().map(|f| f.bytes - f.header_bytes).sum();
        options.progress.begin("packing", data_bytes);
        let mut files = Vec::with_capacity(placed.files.len());
        for (weights, header) in placed.files.iter().zip(&placed.headers) {
            let path = self.staging.out().join(&weights.path);
            let file = reserve(&path, weights.bytes)?;
            file.write_all_at(header, 0).during("writing", &path)?;
            files.push((path, file));
        }
        let packing = Packing {
            tensors: &self.spec.tensors,
            placed,
            checkpoint: self.checkpoint,
            encoded_weights: options.encoded_weights,
            files: &files,
            journal,
            earlier,
            gate: MemoryGate::new(options.memory_budget),
            progress: options.progress,
            write_back: WriteBack::new(&files),
        };
        let pool = thread_pool(Some(options.threads))?;
        let packed = packing.write_back.during(|| packing.run(&pool, workers(options.threads)))?;
        options.progress.begin("syncing", 0);
        files.iter().try_for_each(|(path, file)| file.sync_all().during("syncing", path))?;
        Ok(packed)
    }
}

#[cfg(test)]
mod tests;
