//! Synthesis: a checkpoint of a model's shape with random weights, to measure compiles and plans on where the model itself
//! is not at hand. What it computes means nothing; how fast, and in how much memory, is what the model would take.
//!
//! A value follows from the seed, its tensor's name and its place alone, so that neither the number of layers nor that of
//! threads changes it. Threads make pieces and write each to its place: what is in memory is one piece for each of them.

mod normal;
mod shape;
mod stored_type;
mod tokenizer;

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use rayon::prelude::*;
use samp_runtime::Progress;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use self::normal::NormalQuantiles;
pub use self::{
    shape::{CheckpointShape, MAX_LAYERS, ParseShapeError},
    stored_type::{ParseStoredTypeError, StoredType},
};
use crate::{
    checkpoint_files::{
        CheckpointFolder, WeightsShard, header, json_text, own_files, shards, write_index, write_json,
    },
    emit::{
        EmitError, disk::reserve, error::During, manifest::TOOL, output_kind::OutputKind,
        staging::write_synced,
    },
    import::{Parameter, parameters, parse_config},
    lower::DEFAULT_FILE_BYTES,
};

/// Says how a synthetic checkpoint was made, and that it may be replaced by another.
pub const SYNTHESIS_FILE: &str = "samp-synth.json";
const CHECKPOINT: OutputKind = OutputKind {
    name: "a checkpoint that samp synthesized",
    marker: SYNTHESIS_FILE,
    own: |folder| own_files(folder, SYNTHESIS_FILE),
};
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
/// Values that a thread makes at once; a multiple of those that one random number gives.
const PIECE: usize = 1 << 21;

/// What to make.
pub struct SynthesisRequest<'a> {
    /// Whose sizes and constants.
    pub shape: CheckpointShape,
    /// How many layers in place of the model's own, 1 to [`MAX_LAYERS`].
    pub layers: Option<u64>,
    /// What the weights are drawn from.
    pub seed: u64,
    /// What they are stored in.
    pub dtype: StoredType,
    /// The folder to make.
    pub out: &'a Path,
    /// Replace a synthetic checkpoint that is already there.
    pub force: bool,
    /// Most data bytes of one file, unless a single tensor takes more.
    pub max_file_bytes: u64,
    /// Hears of progress, in bytes.
    pub progress: &'a dyn Progress,
}

impl<'a> SynthesisRequest<'a> {
    /// A whole model in bf16 from seed 0, in files of the usual size.
    pub fn new(shape: CheckpointShape, out: &'a Path, progress: &'a dyn Progress) -> SynthesisRequest<'a> {
        SynthesisRequest {
            shape,
            layers: None,
            seed: 0,
            dtype: StoredType::Bf16,
            out,
            force: false,
            max_file_bytes: DEFAULT_FILE_BYTES,
            progress,
        }
    }
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Synthesized {
    /// How many layers it has.
    pub layers: u64,
    /// Number of weights.
    pub weights: u64,
    /// Number of files.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Makes a checkpoint: the same request gives the same bytes. On any error nothing stands at the target.
///
/// # Errors
/// The target is there or cannot be written, the disk has not enough room, or the number of layers is out of its range.
pub fn synthesize(request: &SynthesisRequest<'_>) -> Result<Synthesized, EmitError> {
    let config = json_text(&request.shape.config(request.layers, request.dtype));
    let model = parse_config(config.as_bytes(), CONFIG)?;
    let parameters = parameters(&model);
    let weights = parameters.iter().map(elements).sum();
    let shards =
        shards(parameters, |p| elements(p) * request.dtype.element().bytes(), request.max_file_bytes);
    let bytes = shards.iter().map(|shard| shard.bytes).sum();
    let folder = CheckpointFolder { out: request.out, kind: CHECKPOINT, force: request.force, bytes };
    let written = folder.write(request.progress, |out| {
        request.progress.begin("drawing weights", bytes);
        let values = TensorValues::new(request);
        shards.iter().try_for_each(|shard| write_shard(&values, shard, out, request.progress))?;
        write_index(out, &shards, |parameter| [parameter.source.as_str()])?;
        write_synced(&out.join(CONFIG), config.as_bytes())?;
        write_json(&out.join(TOKENIZER), &tokenizer::bytes_of_text(&model.model))?;
        let made = json!({
            "tool": TOOL, "shape": request.shape.name(), "layers": model.model.layers, "seed": request.seed,
            "dtype": request.dtype.name(),
        });
        write_json(&out.join(SYNTHESIS_FILE), &made)
    })?;
    Ok(Synthesized { layers: model.model.layers, weights, files: written.files, bytes: written.bytes })
}

fn elements(parameter: &Parameter) -> u64 {
    parameter.shape.iter().product()
}

/// A run of a tensor's values, and where it goes.
struct Piece<'a> {
    parameter: &'a Parameter,
    /// The first of them, by its place in the tensor.
    first: u64,
    len: usize,
    /// Where it begins in the file, in bytes.
    offset: u64,
}

fn write_shard(
    values: &TensorValues,
    shard: &WeightsShard<Parameter>,
    out: &Path,
    progress: &dyn Progress,
) -> Result<(), EmitError> {
    let path = out.join(&shard.name);
    let dtype = values.dtype.stored();
    let header = header(shard.tensors.iter().map(|p| (p.source.as_str(), dtype, p.shape.as_slice())));
    let file = reserve(&path, header.len() as u64 + shard.bytes)?;
    file.write_all_at(&header, 0).during("writing", &path)?;
    let pieces = pieces(shard, header.len() as u64, values.dtype.element().bytes());
    let make = |piece: &mut Vec<u16>, to: &Piece<'_>| {
        let piece = &mut piece[..to.len];
        values.fill(to.parameter, to.first, piece);
        let bytes: &[u8] = bytemuck::cast_slice(piece);
        file.write_all_at(bytes, to.offset).during("writing", &path)?;
        match progress.advance(&to.parameter.key, bytes.len() as u64).is_break() {
            true => Err(EmitError::Interrupted),
            false => Ok(()),
        }
    };
    pieces.par_iter().try_for_each_init(|| vec![0; PIECE], make)?;
    sync(&file, &path)
}

fn sync(file: &File, path: &Path) -> Result<(), EmitError> {
    file.sync_all().during("syncing", path)
}

/// The values of a file whose data begins at `offset`, a piece at a time.
fn pieces(shard: &WeightsShard<Parameter>, mut offset: u64, element_bytes: u64) -> Vec<Piece<'_>> {
    let mut pieces = vec![];
    for parameter in &shard.tensors {
        let count = elements(parameter);
        for first in (0..count).step_by(PIECE) {
            let len = PIECE.min((count - first) as usize);
            pieces.push(Piece { parameter, first, len, offset });
            offset += len as u64 * element_bytes;
        }
    }
    pieces
}

/// What every tensor of a checkpoint holds.
struct TensorValues {
    seed: u64,
    dtype: StoredType,
    quantiles: NormalQuantiles,
}

impl TensorValues {
    fn new(request: &SynthesisRequest<'_>) -> TensorValues {
        let SynthesisRequest { seed, dtype, .. } = *request;
        TensorValues { seed, dtype, quantiles: NormalQuantiles::new(shape::INITIAL_DEVIATION, dtype) }
    }

    /// The values from `first` on: of a matrix as models are initialised, of a norm's weight ones.
    fn fill(&self, parameter: &Parameter, first: u64, values: &mut [u16]) {
        if parameter.shape.len() < 2 {
            values.fill(self.dtype.bits(1.0));
        } else {
            self.quantiles.fill(self.stream(&parameter.source), first, values);
        }
    }

    /// Where a tensor's random numbers begin.
    fn stream(&self, name: &str) -> u64 {
        let hash = blake3::Hasher::new().update(&self.seed.to_le_bytes()).update(name.as_bytes()).finalize();
        u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

#[cfg(test)]
mod tests;
