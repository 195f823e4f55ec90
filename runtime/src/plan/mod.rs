//! Opening a plan: every check that can be made before the first token, in one pass over its bytes.
//!
//! [`open`] gives a plan that the devices may trust without looking again, or the first fault; [`validate`] gives
//! every fault. Nothing that a file says is trusted: sizes are bounded before memory is taken, files are measured
//! before they are mapped, and arithmetic on outside numbers cannot overflow. What else lies in the folder is neither
//! read nor listed; [`unnamed_entries`] lists it for those who want to know.

mod blocks;
pub mod code;
mod fault;
mod files;
mod model;
mod program;
mod roles;
mod signature;
mod tensors;
mod unnamed;
mod values;
mod weights;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use memmap2::Mmap;
use samp_abi::plan::{GOLDEN_FILE, Golden, MANIFEST_FILE, ManifestError, Plan, TensorId, unseal};
use samp_kernels::encoded::EncodedRef;

use fault::Findings;
pub use fault::{Fault, PlanError};
pub use signature::{PublicKey, PublicKeyError, SignatureError};
pub use unnamed::{named_files, unnamed_entries};

use crate::path_kind::{Wanted, expect};

/// Manifests larger than this are refused unread; that of a 70B model takes about a megabyte.
pub const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// A plan whose every byte has been checked. Immutable; weights are mapped, not copied.
#[derive(Debug)]
pub struct OpenPlan {
    dir: PathBuf,
    manifest: Arc<Plan>,
    weights: Vec<Mmap>,
    files: BTreeMap<String, Vec<u8>>,
    golden: Option<Golden>,
}

impl OpenPlan {
    /// The manifest, which has been checked.
    pub fn manifest(&self) -> &Plan {
        &self.manifest
    }

    /// The manifest, for what outlives the plan.
    pub fn shared_manifest(&self) -> Arc<Plan> {
        self.manifest.clone()
    }

    /// What the plan is called by its contents: the BLAKE3 of its manifest in 64 hex digits, which covers the hash of
    /// every other file. It was checked when the plan was opened.
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// The directory that it was opened in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A weight tensor in its stored layout. Panics if the plan has no such tensor, which its own steps rule out.
    pub fn tensor(&self, id: TensorId) -> EncodedRef<'_> {
        let tensor = &self.manifest.tensors[id.0 as usize];
        let mut view =
            EncodedRef::new(tensor.format, tensor.layout, tensor.rows as usize, tensor.cols as usize);
        for part in &tensor.parts {
            let start = part.offset as usize;
            view.set(part.component, &self.weights[part.file as usize][start..start + part.bytes as usize]);
        }
        view
    }

    /// Lets the system take back the memory behind a weight that is done with; it can be read again.
    pub fn release(&self, id: TensorId) {
        for part in &self.manifest.tensors[id.0 as usize].parts {
            let start = part.offset as usize;
            weights::release(&self.weights[part.file as usize], start..start + part.bytes as usize);
        }
    }

    /// The bytes of any other file of the plan, as they were when they were checked.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The golden probe; only a plan from [`open_staged`] may lack it.
    pub fn golden(&self) -> Option<&Golden> {
        self.golden.as_ref()
    }
}

/// Opens the plan in `dir` if every check holds; otherwise gives the first fault.
pub fn open(dir: &Path) -> Result<OpenPlan, PlanError> {
    first_fault(examine(dir, Stage::Published))
}

/// Opens a plan that the compiler is still making: the golden probe may be missing, and no weight stays in memory for having
/// been checked. All else is as in [`open`].
pub fn open_staged(dir: &Path) -> Result<OpenPlan, PlanError> {
    first_fault(examine(dir, Stage::Staged))
}

/// Every fault of the plan in `dir`; none if it is sound.
pub fn validate(dir: &Path) -> Vec<PlanError> {
    match examine(dir, Stage::Published) {
        Ok(_) => vec![],
        Err(findings) => findings.0,
    }
}

/// Every fault of a manifest on its own, without the files that it names.
pub fn validate_manifest(manifest: &Plan) -> Vec<PlanError> {
    let mut findings = Findings::default();
    check_contents(manifest, &mut findings);
    files::check_paths(manifest, &mut findings);
    findings.0
}

fn first_fault(examined: Result<OpenPlan, Findings>) -> Result<OpenPlan, PlanError> {
    examined.map_err(|findings| findings.0.into_iter().next().expect("a refused plan has a fault"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Staged,
    Published,
}

/// Makes every check. Those that rest on others are left out where these failed.
fn examine(dir: &Path, stage: Stage) -> Result<OpenPlan, Findings> {
    let mut findings = Findings::default();
    if let Err(wrong) = expect(dir, Wanted::Plan) {
        findings.0.push(wrong.into());
        return Err(findings);
    }
    let Some(manifest) = read_manifest(dir, &mut findings) else { return Err(findings) };
    let tensors_hold = check_contents(&manifest, &mut findings);
    files::check_paths(&manifest, &mut findings);
    let files = files::read_plain(dir, &manifest, &mut findings);
    let weights = files::map_weights(dir, &manifest, &mut findings);
    if tensors_hold {
        let keep = stage == Stage::Published;
        weights::check(&manifest, &weights, keep, &mut findings);
    }
    let golden = check_golden(&manifest, &files, stage, &mut findings);
    match (findings.count(), weights.into_iter().collect()) {
        (0, Some(weights)) => {
            Ok(OpenPlan { dir: dir.into(), manifest: manifest.into(), weights, files, golden })
        }
        _ => Err(findings),
    }
}

/// Whatever can be checked in a manifest alone. Whether its tensors hold.
fn check_contents(manifest: &Plan, findings: &mut Findings) -> bool {
    let numbers_hold = model::check(manifest, findings);
    let tensors_hold = tensors::check(manifest, findings);
    if numbers_hold && program::check(manifest, findings) && tensors_hold {
        roles::check(manifest, findings);
        if findings.count() == 0 {
            code::check(manifest, findings);
        }
    }
    tensors_hold
}

fn read_manifest(dir: &Path, findings: &mut Findings) -> Option<Plan> {
    let bytes = files::read_regular(dir, MANIFEST_FILE, MAX_MANIFEST_BYTES, findings)?;
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let mut place = findings.at(MANIFEST_FILE, "manifest");
    match unseal(&bytes, hash) {
        Ok(plan) => return Some(plan),
        Err(ManifestError::Malformed(reason)) => {
            place.wrong(Fault::ManifestMalformed, "JSON of the plan schema", reason);
        }
        Err(ManifestError::Version { expected, found }) => {
            place.wrong(Fault::SchemaVersion, format_args!("{expected} or a compatible one"), found);
        }
        Err(ManifestError::Digest { expected, found }) => {
            place.wrong(Fault::ManifestDigest, expected, found);
        }
    }
    None
}

fn check_golden(
    plan: &Plan,
    files: &BTreeMap<String, Vec<u8>>,
    stage: Stage,
    findings: &mut Findings,
) -> Option<Golden> {
    let mut place = findings.at(GOLDEN_FILE, "probe");
    if !plan.files.iter().any(|f| f.path == GOLDEN_FILE) {
        place.check(stage == Stage::Staged, Fault::Golden, "a probe among the plan's files", "none");
        return None;
    }
    // A listed file that could not be read has been reported already.
    let golden: Golden = match serde_json::from_slice(files.get(GOLDEN_FILE)?) {
        Ok(golden) => golden,
        Err(error) => {
            place.wrong(Fault::Golden, "JSON of the probe's schema", error);
            return None;
        }
    };
    let (vocab, length) = (plan.model.vocab_size, golden.token_ids.len());
    let tokens_hold = golden.token_ids.iter().all(|&t| u64::from(t) < vocab);
    place.check(
        tokens_hold && (1..=plan.limits.max_context).contains(&(length as u64)),
        Fault::Golden,
        format_args!("1 to {} token ids below {vocab}", plan.limits.max_context),
        format_args!("{length} ids, the largest {:?}", golden.token_ids.iter().max()),
    );
    let tolerance = golden.tolerance;
    place.check(tolerance.is_finite() && tolerance > 0.0, Fault::Golden, "a tolerance above 0", tolerance);
    place.check(!golden.rows.is_empty(), Fault::Golden, "expected logits", "none");
    for row in &golden.rows {
        let logits_hold = row.logits.iter().all(|&(t, l)| u64::from(t) < vocab && l.is_finite());
        place.check(
            (row.position as usize) < length && logits_hold && !row.logits.is_empty(),
            Fault::Golden,
            format_args!("finite logits of known tokens at a position below {length}"),
            format_args!("other ones at position {}", row.position),
        );
    }
    Some(golden)
}
