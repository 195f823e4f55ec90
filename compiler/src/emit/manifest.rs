//! Puts the manifest together, with every file that it names.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use samp_abi::plan::{
    MANIFEST_FILE, Memory, PlainFile, Plan, Provenance, SCHEMA_VERSION, SourceFile, Tensor, seal, unseal,
};
use serde::Serialize;

use super::{
    error::{During, EmitError},
    hash::blake3_hex,
    journal::PackedTensor,
    staging::write_synced,
    weight_files::WeightFiles,
};
use crate::import::{CarriedFile, FileIdentity};
use crate::lower::PlanSpec;

/// The tool that plans are stamped with. Which commit it was built of is left out: plans of one version are the same
/// bytes.
pub(crate) const TOOL: &str = concat!("samp ", env!("CARGO_PKG_VERSION"));

/// A manifest that grows with the files of the plan.
pub(crate) struct Manifest(Plan);

impl Manifest {
    /// The manifest of the packed weights, still without other files.
    pub(crate) fn new(
        spec: &PlanSpec,
        placed: &WeightFiles,
        packed: &[PackedTensor],
        sources: &[&FileIdentity],
    ) -> Manifest {
        let source = |f: &&FileIdentity| SourceFile {
            path: f.name.clone(),
            bytes: f.bytes,
            blake3: f.header_blake3.clone(),
        };
        Manifest(Plan {
            schema: SCHEMA_VERSION,
            digest: String::new(),
            target: spec.target,
            model: spec.model.clone(),
            limits: spec.limits,
            kv: spec.kv.clone(),
            program: spec.program.clone(),
            memory: Memory {
                weights_bytes: placed.weights_bytes(),
                arena_bytes: spec.arena_bytes,
                kv_bytes_per_token: spec.kv.bytes_per_token(&spec.model),
            },
            tensors: placed
                .tensors
                .iter()
                .zip(packed)
                .map(|(tensor, packed)| hashed(tensor, packed))
                .collect(),
            weights: placed.files.clone(),
            files: vec![],
            provenance: Provenance {
                name: spec.name.clone(),
                tool: TOOL.into(),
                recipe: spec.recipe.clone(),
                sources: sources.iter().map(source).collect(),
            },
        })
    }

    /// Writes a file into the plan and names it.
    pub(crate) fn add_file(&mut self, out: &Path, name: &str, bytes: &[u8]) -> Result<(), EmitError> {
        write_synced(&out.join(name), bytes)?;
        self.0.files.push(PlainFile {
            path: name.into(),
            bytes: bytes.len() as u64,
            blake3: blake3_hex(bytes),
        });
        self.0.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(())
    }

    /// Writes a value as JSON into the plan and names it.
    pub(crate) fn add_json(
        &mut self,
        out: &Path,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), EmitError> {
        let text = serde_json::to_string_pretty(value).expect("finite numbers and string keys") + "\n";
        self.add_file(out, name, text.as_bytes())
    }

    /// Copies files of the checkpoint into the plan and names them, also as where it came from.
    pub(crate) fn carry(&mut self, out: &Path, files: &[CarriedFile]) -> Result<(), EmitError> {
        for file in files {
            let bytes = file.read().during("reading", file.path())?;
            self.add_file(out, &file.name, &bytes)?;
            let blake3 = blake3_hex(&bytes);
            self.0.provenance.sources.push(SourceFile {
                path: file.name.clone(),
                bytes: bytes.len() as u64,
                blake3,
            });
        }
        self.0.provenance.sources.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(())
    }

    /// Seals and writes the manifest; gives it as written, and the bytes of the whole plan.
    pub(crate) fn write(&self, out: &Path) -> Result<(Plan, u64), EmitError> {
        let text = seal(&self.0, blake3_hex);
        write_synced(&out.join(MANIFEST_FILE), text.as_bytes())?;
        let plan = unseal(text.as_bytes(), blake3_hex).expect("a manifest that was just sealed");
        let weights: u64 = plan.weights.iter().map(|f| f.bytes).sum();
        let files: u64 = plan.files.iter().map(|f| f.bytes).sum();
        Ok((plan, weights + files + text.len() as u64))
    }
}

/// A placed tensor with the hashes that packing gave.
fn hashed(tensor: &Tensor, packed: &PackedTensor) -> Tensor {
    let mut tensor = tensor.clone();
    for (part, blake3) in tensor.parts.iter_mut().zip(&packed.parts) {
        part.blake3.clone_from(blake3);
    }
    for (source, blake3) in tensor.sources.iter_mut().zip(&packed.sources) {
        source.blake3.clone_from(blake3);
    }
    tensor
}

/// Names everything that the weights files follow from: the specification, the checkpoint's files as they are, and
/// the program that encodes them.
pub(crate) fn fingerprint(spec: &PlanSpec, sources: &[&FileIdentity]) -> String {
    let stamp =
        |time: Option<SystemTime>| -> Option<Duration> { time?.duration_since(SystemTime::UNIX_EPOCH).ok() };
    let sources: Vec<_> =
        sources.iter().map(|f| (&f.name, f.bytes, stamp(f.modified), &f.header_blake3)).collect();
    let program = std::env::current_exe().and_then(fs::metadata).ok();
    let program = program.map(|m| (m.len(), stamp(m.modified().ok())));
    let inputs = (TOOL, SCHEMA_VERSION, program, spec, sources);
    blake3_hex(&serde_json::to_vec(&inputs).expect("plain data"))
}
