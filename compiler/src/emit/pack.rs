//! Makes the weights files: each tensor read, encoded, packed, hashed and written to its place, several at a time.
//! Places are fixed beforehand, so neither the number of threads nor an interruption changes a byte.

use std::{
    fs::File,
    io,
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use samp_abi::{Layout, plan::StoredComponent};
use samp_kernels::{
    encoded::Encoded,
    format::{self, EncodeError},
    layout,
};
use samp_runtime::Progress;

use super::{
    EncodedWeights,
    error::{During, EmitError},
    hash::{blake3_hex_of_parts, blake3_hex_parallel},
    journal::{Journal, PackedTensor},
    memory::{MemoryGate, in_flight_bytes},
    weight_files::{WeightFiles, aligned},
    write_back::WriteBack,
};
use crate::import::{Checkpoint, SourceRows, WeightView};
use crate::lower::TensorSpec;

/// Bytes read at once when a finished tensor is verified.
const READ_BYTES: usize = 1 << 20;

/// All that packing needs; shared by the workers.
pub(super) struct Packing<'a> {
    /// What to encode.
    pub tensors: &'a [TensorSpec],
    /// Where it goes.
    pub placed: &'a WeightFiles,
    /// Where it comes from.
    pub checkpoint: &'a Checkpoint,
    /// Where tensors with transforms come from.
    pub encoded_weights: Option<&'a dyn EncodedWeights>,
    /// The weights files, at their full size.
    pub files: &'a [(PathBuf, File)],
    /// Takes note of finished tensors.
    pub journal: &'a Journal,
    /// What an earlier run had noted.
    pub earlier: Vec<Option<PackedTensor>>,
    /// Bounds what is in flight.
    pub gate: MemoryGate,
    /// Hears of each tensor.
    pub progress: &'a dyn Progress,
    /// Hears of bytes that were written.
    pub write_back: WriteBack<'a>,
}

/// A refusal of a tensor; what is wrong with the checkpoint is said of the tensor that lies there.
fn refusal(spec: &TensorSpec, source: EncodeError) -> EmitError {
    if let EncodeError::NotFinite { row, col, value, .. } = source {
        let mut row = row as u64;
        for source in &spec.sources {
            let rows = source.elements() / spec.cols.max(1);
            if row < rows {
                return EmitError::NotFinite { source_name: source.name.clone(), row, col, value };
            }
            row -= rows;
        }
    }
    EmitError::Encode { tensor: spec.name.clone(), source }
}

/// What packing gave: a record for each tensor, and how many were taken over from an earlier run.
pub(super) struct PackedWeights {
    /// In the order of the tensors.
    pub tensors: Vec<PackedTensor>,
    /// Tensors that an earlier run had finished.
    pub resumed: usize,
}

/// What became of one tensor.
struct TensorOutcome {
    tensor: PackedTensor,
    /// Whether an earlier run had finished it.
    resumed: bool,
}

impl Packing<'_> {
    /// Makes every tensor with `workers` workers that share `pool`. The first error stops all.
    pub(super) fn run(&self, pool: &rayon::ThreadPool, workers: usize) -> Result<PackedWeights, EmitError> {
        let done: Vec<OnceLock<TensorOutcome>> = self.tensors.iter().map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        let failure: Mutex<Option<EmitError>> = Mutex::new(None);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(slot) = done.get(index) else { break };
                match self.finish(index, pool) {
                    Ok(finished) => drop(slot.set(finished)),
                    Err(error) => {
                        next.store(done.len(), Ordering::Relaxed);
                        failure.lock().unwrap_or_else(|p| p.into_inner()).get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            // A worker that the system refuses leaves its share to the others.
            (1..workers).for_each(|_| drop(std::thread::Builder::new().spawn_scoped(scope, work)));
            work();
        });
        if let Some(error) = failure.into_inner().unwrap_or_else(|p| p.into_inner()) {
            return Err(error);
        }
        let outcomes: Vec<TensorOutcome> =
            done.into_iter().map(|slot| slot.into_inner().expect("every tensor was taken")).collect();
        let resumed = outcomes.iter().filter(|outcome| outcome.resumed).count();
        Ok(PackedWeights { tensors: outcomes.into_iter().map(|outcome| outcome.tensor).collect(), resumed })
    }

    /// Makes tensor `index`, or takes it over from an earlier run.
    fn finish(&self, index: usize, pool: &rayon::ThreadPool) -> Result<TensorOutcome, EmitError> {
        let spec = &self.tensors[index];
        let earlier = self.earlier[index].clone().filter(|earlier| self.verify(index, earlier));
        let resumed = earlier.is_some();
        let tensor = match earlier {
            Some(earlier) => earlier,
            None => {
                let _permit = self.gate.admit(in_flight_bytes(spec));
                let finished = pool.install(|| self.make(index))?;
                self.journal.append(&finished)?;
                finished
            }
        };
        let bytes = self.placed.tensors[index].parts.iter().map(|p| aligned(p.bytes)).sum();
        match self.progress.advance(&spec.name, bytes) {
            ControlFlow::Continue(()) => Ok(TensorOutcome { tensor, resumed }),
            ControlFlow::Break(()) => Err(EmitError::Interrupted),
        }
    }

    /// Reads, encodes, packs, hashes and writes one tensor.
    fn make(&self, index: usize) -> Result<PackedTensor, EmitError> {
        let (spec, placed) = (&self.tensors[index], &self.placed.tensors[index]);
        let tensors: Vec<WeightView> =
            spec.sources.iter().filter_map(|s| self.checkpoint.weight(&s.name)).collect();
        let sources = tensors.iter().map(|t| blake3_hex_of_parts(&t.stored_bytes())).collect();
        let encoded = self.encoded(spec, tensors)?;
        spec.sources.iter().for_each(|s| self.checkpoint.release(&s.name));
        let packed = if spec.layout == Layout::RowMajor { encoded } else { packed(encoded, spec.layout) };
        let mut parts = Vec::with_capacity(placed.parts.len());
        for (part, (component, bytes)) in placed.parts.iter().zip(&packed.parts) {
            assert_eq!((part.component, part.bytes), (*component, bytes.len() as u64), "{}", spec.name);
            self.write(part, bytes)?;
            parts.push(blake3_hex_parallel(bytes));
        }
        Ok(PackedTensor { tensor: index, sources, parts })
    }

    /// The tensor row-major: rounded beforehand if it has transforms, the codes that another tool stored if they are kept,
    /// else encoded as it is.
    fn encoded(&self, spec: &TensorSpec, tensors: Vec<WeightView<'_>>) -> Result<Encoded, EmitError> {
        if !spec.transforms.is_empty() {
            let weights = self.encoded_weights.ok_or_else(|| EmitError::NotRounded(spec.name.clone()))?;
            return weights.encoded(spec).during("reading the rounded weight", Path::new(&spec.name));
        }
        let names = spec.sources.iter().map(|source| source.name.as_str());
        if let Some(kept) = self.checkpoint.kept(names, spec.format) {
            return kept.map_err(|why| EmitError::NotKept { tensor: spec.name.clone(), why });
        }
        let rows = SourceRows::new(tensors)?;
        format::encode(spec.format, rows.rows(), rows.cols(), &rows, &[])
            .map_err(|source| refusal(spec, source))
    }

    /// Writes a part and the zeros after it.
    fn write(&self, part: &StoredComponent, bytes: &[u8]) -> Result<(), EmitError> {
        let (path, file) = &self.files[part.file as usize];
        let zeros = vec![0; (aligned(part.bytes) - part.bytes) as usize];
        file.write_all_at(bytes, part.offset)
            .and_then(|()| file.write_all_at(&zeros, part.offset + part.bytes))
            .during("writing", path)?;
        self.write_back.wrote(part.bytes);
        Ok(())
    }

    /// Whether the bytes on disk are those that `earlier` says, so that the tensor need not be made again.
    fn verify(&self, index: usize, earlier: &PackedTensor) -> bool {
        let placed = &self.placed.tensors[index];
        earlier.sources.len() == placed.sources.len()
            && earlier.parts.len() == placed.parts.len()
            && placed.parts.iter().zip(&earlier.parts).all(|(part, expected)| {
                self.stored_hash(part).is_ok_and(|found| found.as_ref() == Some(expected))
            })
    }

    /// The hash of a stored part; none if what follows it is not zeros.
    fn stored_hash(&self, part: &StoredComponent) -> io::Result<Option<String>> {
        let (_, file) = &self.files[part.file as usize];
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; READ_BYTES.min(aligned(part.bytes) as usize)];
        let (mut at, end) = (part.offset, part.offset + part.bytes);
        while at < end {
            let chunk = (end - at).min(buffer.len() as u64) as usize;
            file.read_exact_at(&mut buffer[..chunk], at)?;
            hasher.update(&buffer[..chunk]);
            at += chunk as u64;
        }
        let pad = &mut buffer[..(aligned(part.bytes) - part.bytes) as usize];
        file.read_exact_at(pad, end)?;
        Ok(pad.iter().all(|&b| b == 0).then(|| hasher.finalize().to_hex().to_string()))
    }
}

/// Packs and lets go of the row-major arrays.
fn packed(encoded: Encoded, to: Layout) -> Encoded {
    layout::pack(encoded.view(), to)
}
