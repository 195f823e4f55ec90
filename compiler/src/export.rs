//! Export: the weights that a plan really computes with, as a Hugging Face checkpoint in f32 that any tool can judge.
//!
//! Each tensor is decoded a piece at a time; its values are those of its sources one after another, so that the pieces
//! go straight to the file under the sources' own names and shapes. A shared embedding stays shared.
//!
//! Never: a computation on the weights beyond decoding them.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Write},
    path::Path,
};

use rayon::prelude::*;
use samp_abi::plan::{Tensor, TensorId};
use samp_kernels::{encoded::EncodedRef, format::decode_rows};
use samp_runtime::{OpenPlan, Progress};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    emit::{
        EmitError,
        disk::DiskSpace,
        error::During,
        manifest::TOOL,
        output_kind::{OutputKind, files_named},
        staging::{Staging, write_synced},
    },
    import::{CARRIED_FILES, INDEX_FILE, ModelConfig, RopeScaling, parse_config},
    lower::DEFAULT_FILE_BYTES,
    output_file::refuse_inside,
};

/// Says which plan an exported checkpoint came from, and that it may be replaced by another export.
pub const EXPORT_FILE: &str = "samp-export.json";
const CHECKPOINT: OutputKind =
    OutputKind { name: "a checkpoint that samp exported", marker: EXPORT_FILE, own: export_files };
const CONFIG: &str = "config.json";
/// Files of a plan that belong to the plan alone.
const PLAN_ONLY: [&str; 4] = ["plan.mlir", "certificate.json", "golden.json", CONFIG];
/// Values that are decoded at once.
const PIECE: usize = 1 << 22;

/// How to export.
pub struct ExportOptions<'a> {
    /// The folder to make.
    pub out: &'a Path,
    /// Replace an export that is already there.
    pub force: bool,
    /// Most data bytes of one file, unless a single tensor takes more.
    pub max_file_bytes: u64,
    /// Hears of progress.
    pub progress: &'a dyn Progress,
}

impl<'a> ExportOptions<'a> {
    /// Exports to `out`, with files of the usual size.
    pub fn new(out: &'a Path, force: bool, progress: &'a dyn Progress) -> ExportOptions<'a> {
        ExportOptions { out, force, max_file_bytes: DEFAULT_FILE_BYTES, progress }
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Exported {
    /// Number of files.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes the effective weights of the plan in `plan` as a Hugging Face checkpoint. The plan is checked whole before;
/// on any error nothing stands at the target.
pub fn export_hf(plan: &Path, options: &ExportOptions<'_>) -> Result<Exported, EmitError> {
    export_plan(&samp_runtime::open(plan)?, options)
}

/// The same for a plan that is open.
pub fn export_plan(plan: &OpenPlan, options: &ExportOptions<'_>) -> Result<Exported, EmitError> {
    refuse_inside(options.out, plan.dir()).map_err(EmitError::Import)?;
    let shards = shards(&plan.manifest().tensors, options.max_file_bytes);
    let bytes = shards.iter().map(|shard| shard.bytes).sum();
    let space = DiskSpace { target: options.out.into(), bytes };
    let staging = Staging::open(options.out, CHECKPOINT, options.force)?;
    let out = staging.out();
    let written = staging
        .keep_only(&[])
        .and_then(|()| space.check(&out, false))
        .and_then(|()| write(plan, &shards, &out, options))
        .and_then(|()| count(&out))
        .map_err(|error| space.explain(error, &out));
    options.progress.end();
    match written {
        Ok(exported) => staging.publish().map(|_| exported),
        Err(error) => {
            // Why nothing was exported matters more than what could not be removed.
            let _ = staging.discard();
            Err(error)
        }
    }
}

/// The files of an export, by the names that exports use.
fn export_files(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut own = BTreeSet::from([EXPORT_FILE, INDEX_FILE].map(str::to_owned));
    own.extend(CARRIED_FILES.map(str::to_owned));
    own.extend(files_named(folder, "model", ".safetensors")?);
    Ok(own)
}

/// The files that were written, and their bytes.
fn count(out: &Path) -> Result<Exported, EmitError> {
    let mut exported = Exported { files: 0, bytes: 0 };
    for entry in std::fs::read_dir(out).during("listing", out)? {
        let file = entry.during("listing", out)?;
        exported.files += 1;
        exported.bytes += file.metadata().during("measuring", &file.path())?.len();
    }
    Ok(exported)
}

/// One weights file of the checkpoint: whole tensors of the plan.
struct Shard {
    name: String,
    tensors: Vec<TensorId>,
    bytes: u64,
}

/// Shares the tensors out over files, in their order.
fn shards(tensors: &[Tensor], max_bytes: u64) -> Vec<Shard> {
    let mut shards: Vec<Shard> = vec![];
    for (index, tensor) in tensors.iter().enumerate() {
        let bytes = tensor.rows * tensor.cols * 4;
        if shards.last().is_none_or(|last| last.bytes + bytes > max_bytes) {
            shards.push(Shard { name: String::new(), tensors: vec![], bytes: 0 });
        }
        let last = shards.last_mut().expect("one was just made");
        last.tensors.push(TensorId(index as u32));
        last.bytes += bytes;
    }
    let count = shards.len();
    for (index, shard) in shards.iter_mut().enumerate() {
        shard.name = match count {
            1 => "model.safetensors".into(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
        };
    }
    shards
}

/// Writes every file.
fn write(
    plan: &OpenPlan,
    shards: &[Shard],
    out: &Path,
    options: &ExportOptions<'_>,
) -> Result<(), EmitError> {
    options.progress.begin("decoding", shards.iter().map(|shard| shard.bytes).sum());
    for shard in shards {
        write_shard(plan, shard, &out.join(&shard.name), options.progress)?;
    }
    let manifest = plan.manifest();
    if shards.len() > 1 {
        write_json(&out.join(INDEX_FILE), &index(&manifest.tensors, shards))?;
    }
    write_json(&out.join(CONFIG), &config(plan)?)?;
    for file in manifest.files.iter().filter(|file| !PLAN_ONLY.contains(&file.path.as_str())) {
        if let (Some(bytes), false) = (plan.file(&file.path), file.path.contains('/')) {
            write_synced(&out.join(&file.path), bytes)?;
        }
    }
    write_json(&out.join(EXPORT_FILE), &json!({ "tool": TOOL, "plan_digest": manifest.digest }))
}

fn write_shard(
    plan: &OpenPlan,
    shard: &Shard,
    path: &Path,
    progress: &dyn Progress,
) -> Result<(), EmitError> {
    let mut file = File::create(path).during("creating", path)?;
    file.write_all(&header(&plan.manifest().tensors, shard)).during("writing", path)?;
    for &id in &shard.tensors {
        let tensor = &plan.manifest().tensors[id.0 as usize];
        write_values(&mut file, plan.tensor(id)).during("writing", path)?;
        if progress.advance(&tensor.name, tensor.rows * tensor.cols * 4).is_break() {
            return Err(EmitError::Interrupted);
        }
    }
    file.sync_all().during("syncing", path)
}

/// Decodes and writes a tensor, a piece of whole rows at a time.
fn write_values(file: &mut File, tensor: EncodedRef<'_>) -> std::io::Result<()> {
    let cols = tensor.cols;
    let piece_rows = (PIECE / cols).clamp(1, tensor.rows);
    let mut piece = vec![0.0f32; piece_rows * cols];
    for first in (0..tensor.rows).step_by(piece_rows) {
        let rows = piece_rows.min(tensor.rows - first);
        let values = &mut piece[..rows * cols];
        let decode = |(row, out): (usize, &mut [f32])| decode_rows(tensor, first + row, out);
        values.par_chunks_mut(cols).enumerate().for_each(decode);
        file.write_all(bytemuck::cast_slice(values))?;
    }
    Ok(())
}

/// The safetensors header: every source under its own name and shape, in f32.
fn header(tensors: &[Tensor], shard: &Shard) -> Vec<u8> {
    let mut entries = serde_json::Map::new();
    entries.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut start = 0;
    for source in shard.tensors.iter().flat_map(|id| &tensors[id.0 as usize].sources) {
        let end = start + source.shape.iter().product::<u64>() * 4;
        let entry = json!({ "dtype": "F32", "shape": source.shape, "data_offsets": [start, end] });
        entries.insert(source.name.clone(), entry);
        start = end;
    }
    let mut json = Value::from(entries).to_string();
    json.extend(std::iter::repeat_n(' ', json.len().next_multiple_of(8) - json.len()));
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}

/// The index of a sharded checkpoint.
fn index(tensors: &[Tensor], shards: &[Shard]) -> Value {
    let mut files = serde_json::Map::new();
    for shard in shards {
        for source in shard.tensors.iter().flat_map(|id| &tensors[id.0 as usize].sources) {
            files.insert(source.name.clone(), shard.name.clone().into());
        }
    }
    let total: u64 = shards.iter().map(|shard| shard.bytes).sum();
    json!({ "metadata": { "total_size": total }, "weight_map": files })
}

/// The model's own `config.json`, which now has to say f32, and the frequencies that the plan computes with.
fn config(plan: &OpenPlan) -> Result<Value, EmitError> {
    let refuse = |why: String| EmitError::NotExportable { path: plan.dir().into(), why };
    let bytes = plan.file(CONFIG).ok_or_else(|| refuse(format!("it carries no {CONFIG}")))?;
    let model = parse_config(bytes, CONFIG)?;
    let mut config: Value =
        serde_json::from_slice(bytes).map_err(|e| refuse(format!("its {CONFIG} is not JSON: {e}")))?;
    let keys = config.as_object_mut().ok_or_else(|| refuse(format!("its {CONFIG} is no object")))?;
    keys.insert("torch_dtype".into(), "float32".into());
    if let Some(dtype) = keys.get_mut("dtype") {
        *dtype = "float32".into();
    }
    fix_context(keys, &model, plan.manifest().limits.max_context);
    Ok(config)
}

/// Under dynamic rotary scaling the frequencies follow the length of what is read; the plan's are those of its longest
/// context. A plain embedding of the stretched base has the same ones at any length.
fn fix_context(keys: &mut serde_json::Map<String, Value>, model: &ModelConfig, context: u64) {
    let trained = model.max_position_embeddings;
    if matches!(model.rope.scaling, RopeScaling::Dynamic { .. }) && context > trained {
        keys.remove("rope_parameters");
        keys.insert("rope_scaling".into(), Value::Null);
        keys.insert("rope_theta".into(), model.rope.base(model.model.head_dim, trained, context).into());
        keys.insert("max_position_embeddings".into(), context.into());
    }
}

fn write_json(path: &Path, value: &Value) -> Result<(), EmitError> {
    let text = serde_json::to_string_pretty(value).expect("a JSON value has string keys") + "\n";
    write_synced(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use samp_abi::{Format, Layout, plan::Source};

    fn tensor(name: &str, sources: &[(&str, &[u64])]) -> Tensor {
        let source = |&(name, shape): &(&str, &[u64])| Source {
            name: name.into(),
            shape: shape.to_vec(),
            blake3: String::new(),
        };
        let sources: Vec<Source> = sources.iter().map(source).collect();
        let elements: u64 = sources.iter().map(|s| s.shape.iter().product::<u64>()).sum();
        let (format, layout) = (Format::Nf4, Layout::Rows16);
        Tensor { name: name.into(), sources, format, layout, rows: elements / 4, cols: 4, parts: vec![] }
    }

    #[test]
    fn headers_and_index_name_every_source_once() {
        let tensors = [
            tensor("qkv", &[("q", &[8, 4]), ("k", &[2, 4]), ("v", &[2, 4])]),
            tensor("norm", &[("norm", &[4])]),
            tensor("head", &[("head", &[16, 4])]),
        ];
        let shards = shards(&tensors, 220);
        let names: Vec<&str> = shards.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
        for (shard, sources) in shards.iter().zip([vec!["k", "norm", "q", "v"], vec!["head"]]) {
            let mut file = header(&tensors, shard);
            assert_eq!(file.len() % 8, 0);
            file.resize(file.len() + shard.bytes as usize, 0);
            let file = safetensors::SafeTensors::deserialize(&file).unwrap();
            let mut names = file.names();
            names.sort_unstable();
            assert_eq!(names, sources);
        }
        let index = index(&tensors, &shards);
        assert_eq!(index["metadata"]["total_size"], 4 * (48 + 4 + 64));
        assert_eq!(index["weight_map"]["v"], "model-00001-of-00002.safetensors");
        assert_eq!(index["weight_map"]["head"], "model-00002-of-00002.safetensors");
    }
}
