//! A checkpoint's weights: one `model.safetensors`, or an index with shards.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Bound,
    path::Path,
    sync::Arc,
};

use samp_abi::{Format, plan::is_plain_name};
use samp_ir::Diagnostic;
use samp_kernels::encoded::Encoded;
use samp_runtime::outside_file::{lies_at, read_regular};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    download::{refuse_missing_shards, refuse_pointers},
    file_names::{INDEX_FILE, SINGLE_FILE},
    findings::Findings,
    json::{UniqueMap, shown},
    quantized::{QuantizedWeight, QuantizedWeights, StoredTensor, kept},
    shard::{FileIdentity, Shard, TensorEntry},
    source_rows::SourceRows,
    tensor_view::{TensorView, WeightView},
};
use crate::error_code;

const MAX_INDEX_BYTES: u64 = 100_000_000;
/// How the name of a file of weights ends.
const SUFFIX: &str = ".safetensors";

/// All weights of a checkpoint, memory-mapped. Every tensor lies whole inside its file, and no name occurs twice.
#[derive(Debug)]
pub struct Checkpoint {
    shards: Vec<Arc<Shard>>,
    tensors: BTreeMap<String, Place>,
    /// Weights that are made of several tensors.
    quantized: QuantizedWeights,
    /// Weights that stand for multiples of what is stored.
    scaled: BTreeMap<String, f32>,
}

/// Where a tensor lies.
#[derive(Debug)]
struct Place {
    shard: usize,
    entry: TensorEntry,
}

impl Checkpoint {
    /// Opens the weights in `dir` and checks every header, and the index against the shards. Errors name the file, and
    /// all disagreements between index and shards come together.
    pub fn open(dir: &Path) -> Result<Checkpoint, Diagnostic> {
        let missing = |hint: &str| {
            let message = format!("expected {SINGLE_FILE} or {INDEX_FILE}, found neither");
            Err(Diagnostic::bad_input(error_code::WEIGHTS, message)
                .in_file(dir.display().to_string())
                .hint(hint))
        };
        refuse_pointers(dir)?;
        match (lies_at(&dir.join(SINGLE_FILE)), lies_at(&dir.join(INDEX_FILE))) {
            (true, true) => {
                let message =
                    format!("expected one set of weights, found both {SINGLE_FILE} and {INDEX_FILE}");
                Err(Diagnostic::bad_input(error_code::WEIGHTS, message)
                    .in_file(dir.display().to_string())
                    .hint("remove the one that is not meant"))
            }
            (true, false) => {
                let shard = Shard::open(dir, SINGLE_FILE)?;
                Ok(Checkpoint::of_shard(shard))
            }
            (false, true) => Checkpoint::open_sharded(dir),
            (false, false) => match other_weights(dir) {
                Some(name) => {
                    missing(&format!("there is {name}: fetch {INDEX_FILE} as well, or rename a single file"))
                }
                None => missing("give the directory of a Hugging Face checkpoint"),
            },
        }
    }

    fn open_sharded(dir: &Path) -> Result<Checkpoint, Diagnostic> {
        let index = read_index(dir)?;
        let names: BTreeSet<&String> = index.values().collect();
        refuse_missing_shards(dir, &names)?;
        let shards = names.iter().map(|name| Shard::open(dir, name)).collect::<Result<Vec<_>, _>>()?;
        let mut tensors = BTreeMap::new();
        let mut findings = Findings::default();
        for (number, shard) in shards.iter().enumerate() {
            let file = &shard.identity.name;
            for (tensor, entry) in &shard.entries {
                match index.get(tensor) {
                    Some(stated) if stated == file => {
                        tensors.insert(tensor.clone(), Place { shard: number, entry: entry.clone() });
                    }
                    stated => {
                        let expected = stated.map_or("in the index", String::as_str);
                        findings.add(Some(file), tensor, format!("expected {expected}, found in {file}"));
                    }
                }
            }
        }
        for (tensor, file) in &index {
            if !shards.iter().any(|shard| shard.entries.contains_key(tensor)) {
                findings.add(None, tensor, format!("expected in {file}, found no such tensor there"));
            }
        }
        findings
            .into_result(error_code::INDEX, INDEX_FILE, "expected the index to agree with the shards")
            .map_err(|d| d.hint("shards and index may come from different downloads; fetch them again"))?;
        Ok(Checkpoint::new(shards, tensors))
    }

    /// The weights of one file.
    pub(super) fn of_shard(shard: Shard) -> Checkpoint {
        let place =
            |(name, entry): (&String, &TensorEntry)| (name.clone(), Place { shard: 0, entry: entry.clone() });
        let tensors = shard.entries.iter().map(place).collect();
        Checkpoint::new(vec![shard], tensors)
    }

    fn new(shards: Vec<Shard>, tensors: BTreeMap<String, Place>) -> Checkpoint {
        let shards = shards.into_iter().map(Arc::new).collect();
        Checkpoint { shards, tensors, quantized: QuantizedWeights::default(), scaled: BTreeMap::new() }
    }

    /// Every tensor's name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Those that begin so, sorted.
    pub(super) fn names_with_prefix(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let from = self.tensors.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.map(|(name, _)| name.as_str()).take_while(move |name| name.starts_with(prefix))
    }

    /// Takes the weights that were found to be made of several tensors.
    pub(super) fn adopt(&mut self, quantized: QuantizedWeights) {
        self.quantized = quantized;
    }

    /// Whether a tensor is a part of a quantized weight, or goes with one.
    pub(super) fn is_part(&self, name: &str) -> bool {
        self.quantized.read.contains(name)
    }

    /// The quantized weight of this name.
    pub(super) fn quantized(&self, name: &str) -> Option<&QuantizedWeight> {
        self.quantized.weights.get(name)
    }

    /// The format that holds the very values of a quantized weight, or why there is none; `None` of a dense weight.
    pub fn kept_format(&self, name: &str) -> Option<Result<Format, String>> {
        self.quantized(name).map(QuantizedWeight::kept_format)
    }

    /// Quantized weights below one another as one tensor of `format`, code by code as they are stored, or why they cannot
    /// be joined. `None` where they are not kept in this format.
    pub fn kept<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        format: Format,
    ) -> Option<Result<Encoded, String>> {
        let weights = names.into_iter().map(|name| self.quantized(name)).collect::<Option<Vec<_>>>()?;
        kept(&weights, format)
    }

    /// The mean of a weight's block maxima and how many there are, where these are kept as they were quantized.
    pub fn kept_block_maxima(&self, name: &str) -> Option<(f32, u64)> {
        self.quantized(name)?.kept_block_maxima()
    }

    /// Whether any weight is quantized.
    pub fn is_quantized(&self) -> bool {
        !self.quantized.weights.is_empty()
    }

    /// Lets a weight stand for `factor` times what is stored.
    pub(super) fn scale(&mut self, name: &str, factor: f32) {
        self.scaled.insert(name.to_owned(), factor);
    }

    /// The weight of this name: as it is stored or decoded, or a multiple of that in f32.
    pub fn weight(&self, name: &str) -> Option<WeightView<'_>> {
        let plain = self.unscaled(name)?;
        let factor = self.scaled.get(name);
        Some(factor.map_or(plain, |&factor| plain.scaled(factor)))
    }

    fn unscaled(&self, name: &str) -> Option<WeightView<'_>> {
        match self.quantized.weights.get_key_value(name) {
            Some((name, weight)) => Some(WeightView::quantized(name, weight)),
            None => WeightView::stored(self.tensor(name)?),
        }
    }

    /// A tensor that is held on to.
    pub(super) fn stored(&self, name: &str) -> Option<StoredTensor> {
        let place = self.tensors.get(name)?;
        let shard = &self.shards[place.shard];
        Some(StoredTensor::new(shard, &place.entry, name))
    }

    fn entry(&self, name: &str) -> Option<(&str, &Shard, &TensorEntry)> {
        let (name, place) = self.tensors.get_key_value(name)?;
        Some((name, &self.shards[place.shard], &place.entry))
    }

    /// Calls a tensor by another name from here on. Nothing happens where there is none, or where the new name is taken.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if !self.tensors.contains_key(to)
            && let Some(place) = self.tensors.remove(from)
        {
            self.tensors.insert(to.to_owned(), place);
        }
    }

    /// Calls the rows of a matrix by names of their own from here on: so many for each, which have to be all of its rows.
    /// Whether they are; nothing happens otherwise.
    pub(super) fn split_rows(&mut self, name: &str, parts: &[(String, u64)]) -> bool {
        let Some(Place { shard, entry }) = self.tensors.get(name) else { return false };
        let rows: u64 = parts.iter().map(|(_, rows)| rows).sum();
        let [found, cols] = entry.shape[..] else { return false };
        let bits = entry.dtype.bitsize() as u64;
        if found != rows || !(cols * bits).is_multiple_of(8) {
            return false;
        }
        let (shard, mut start, dtype) = (*shard, entry.start, entry.dtype);
        self.tensors.remove(name);
        for (part, rows) in parts {
            let len = (rows * cols * bits / 8) as usize;
            let entry = TensorEntry { dtype, shape: vec![*rows, cols], start, len };
            self.tensors.insert(part.clone(), Place { shard, entry });
            start += len;
        }
        true
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let (name, shard, entry) = self.entry(name)?;
        Some(TensorView {
            name,
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: shard.bytes(entry),
            file: &shard.identity.name,
        })
    }

    /// The tensors one after another as rows of f32; see [`SourceRows`]. `names` must be bound tensors of this checkpoint.
    pub fn rows<S: AsRef<str>>(&self, names: &[S]) -> Result<SourceRows<'_>, Diagnostic> {
        let tensors = names
            .iter()
            .map(|name| {
                let name = name.as_ref();
                self.weight(name).ok_or_else(|| self.no_weight(name))
            })
            .collect::<Result<Vec<_>, _>>()?;
        SourceRows::new(tensors)
    }

    /// The refusal of a name that no weight has.
    fn no_weight(&self, name: &str) -> Diagnostic {
        let refuse = |message: &str| Diagnostic::bad_input(error_code::BINDING, message).at_tensor(name);
        match self.tensor(name) {
            None => refuse("expected a tensor of the checkpoint, found none of this name"),
            Some(TensorView { dtype, shape, file, .. }) => {
                refuse(&format!("expected F32, F16 or BF16, found {dtype:?} {shape:?}")).in_file(file)
            }
        }
    }

    /// Lets the system take back the memory behind a weight that is done with; it can be read again.
    pub fn release(&self, name: &str) {
        if let Some(weight) = self.quantized(name) {
            return weight.tensors().into_iter().for_each(StoredTensor::release);
        }
        if let Some((_, shard, entry)) = self.entry(name) {
            shard.release(entry);
        }
    }

    /// BLAKE3 over every tensor: its name, its type and its bytes, in the order of the names.
    pub fn content_blake3(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for tensor in self.names().filter_map(|name| self.tensor(name)) {
            let kind = format!("{}\0{:?}{:?}\0", tensor.name, tensor.dtype, tensor.shape);
            hasher.update(kind.as_bytes()).update_rayon(tensor.bytes);
            self.release(tensor.name);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The weight files as they were when opened, by name.
    pub fn files(&self) -> impl Iterator<Item = &FileIdentity> {
        self.shards.iter().map(|shard| &shard.identity)
    }

    /// Refuses if a weight file was changed since it was opened.
    pub fn check_unchanged(&self) -> Result<(), Diagnostic> {
        match self.shards.iter().find(|shard| !shard.is_unchanged()) {
            None => Ok(()),
            Some(shard) => {
                let message = "expected the file as it was when it was opened, found it changed";
                Err(Diagnostic::bad_input(error_code::CHANGED, message)
                    .in_file(&shard.identity.name)
                    .hint("compile again once nothing writes to the checkpoint"))
            }
        }
    }
}

/// A file of weights under a name that nothing leads to.
fn other_weights(dir: &Path) -> Option<String> {
    let names =
        fs::read_dir(dir).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(SUFFIX)).min()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    weight_map: UniqueMap<String>,
}

/// Refuses what an index says for people where it cannot be right; the shards' headers are what counts. Some writers make
/// a float of the size.
fn check_metadata(metadata: &Map<String, Value>) -> Result<(), String> {
    let size = metadata.get("total_size").filter(|size| !size.as_f64().is_some_and(|size| size >= 0.0));
    let refuse = |size| format!("`metadata.total_size`: expected a number of bytes, found {}", shown(size));
    size.map_or(Ok(()), |size| Err(refuse(size)))
}

fn read_index(dir: &Path) -> Result<BTreeMap<String, String>, Diagnostic> {
    let refuse = |message: String| Diagnostic::bad_input(error_code::INDEX, message).in_file(INDEX_FILE);
    let path = dir.join(INDEX_FILE);
    let unreadable = |e: std::io::Error| refuse(format!("expected a readable index, found: {e}"));
    parse_index(&read_regular(&path, MAX_INDEX_BYTES).map_err(unreadable)?)
}

/// Reads an index: tensor name → shard, each shard a plain file name. Never panics, whatever the bytes.
pub fn parse_index(bytes: &[u8]) -> Result<BTreeMap<String, String>, Diagnostic> {
    let refuse = |message: String| Diagnostic::bad_input(error_code::INDEX, message).in_file(INDEX_FILE);
    let Index { metadata, weight_map: UniqueMap(map) } = serde_json::from_slice(bytes)
        .map_err(|e| refuse(format!("expected an index with a weight_map, found malformed JSON: {e}")))?;
    metadata.map_or(Ok(()), |metadata| check_metadata(&metadata)).map_err(refuse)?;
    if map.is_empty() {
        return Err(refuse("expected tensors in weight_map, found none".into()));
    }
    for (tensor, file) in &map {
        if !is_plain_name(file)
            || file.contains(['/', '\\'])
            || file.starts_with('.')
            || !file.ends_with(SUFFIX)
        {
            let message =
                format!("expected the plain name of a .safetensors file beside the index, found {file:?}");
            return Err(refuse(message).at_tensor(tensor));
        }
    }
    Ok(map)
}
