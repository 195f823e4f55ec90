//! A checkpoint that samp writes: tensors shared out over safetensors files with an index, in a folder that takes its place
//! whole.

use std::{collections::BTreeSet, io, path::Path};

use safetensors::Dtype;
use samp_runtime::Progress;
use serde_json::{Map, Value, json};

use crate::{
    emit::{
        EmitError,
        disk::DiskSpace,
        error::During,
        output_kind::{OutputKind, files_named},
        staging::{Staging, write_synced},
    },
    import::{CARRIED_FILES, INDEX_FILE, SINGLE_FILE},
};

/// A tensor's name, what its elements are stored as, and its shape, outermost dimension first.
pub(crate) type StoredShape<'a> = (&'a str, Dtype, &'a [u64]);

/// Where a checkpoint goes.
pub(crate) struct CheckpointFolder<'a> {
    /// The folder to make.
    pub out: &'a Path,
    /// What it may replace with `force`.
    pub kind: OutputKind,
    /// Replace one of its kind that is already there.
    pub force: bool,
    /// Bytes of its weights, which the disk has to have room for.
    pub bytes: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WrittenFiles {
    /// Number of files.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

impl CheckpointFolder<'_> {
    /// Has `write` fill a hidden folder beside the target, which then takes its place. On any error nothing stands at the
    /// target.
    pub(crate) fn write(
        &self,
        progress: &dyn Progress,
        write: impl FnOnce(&Path) -> Result<(), EmitError>,
    ) -> Result<WrittenFiles, EmitError> {
        let space = DiskSpace { target: self.out.into(), bytes: self.bytes };
        let staging = Staging::open(self.out, self.kind, self.force)?;
        let out = staging.out();
        let written = staging
            .keep_only(&[])
            .and_then(|()| space.check(&out, false))
            .and_then(|()| write(&out))
            .and_then(|()| count(&out))
            .map_err(|error| space.explain(error, &out, false));
        progress.end();
        match written {
            Ok(written) => staging.publish().map(|_| written),
            Err(error) => {
                // Why nothing was written matters more than what could not be removed.
                let _ = staging.discard();
                Err(error)
            }
        }
    }
}

/// The files of a folder, and their bytes.
fn count(out: &Path) -> Result<WrittenFiles, EmitError> {
    let mut written = WrittenFiles::default();
    for entry in std::fs::read_dir(out).during("listing", out)? {
        let file = entry.during("listing", out)?;
        written.files += 1;
        written.bytes += file.metadata().during("measuring", &file.path())?.len();
    }
    Ok(written)
}

/// The files of a checkpoint that samp wrote, by the names that it gives them.
pub(crate) fn own_files(folder: &Path, marker: &str) -> io::Result<BTreeSet<String>> {
    let mut own = BTreeSet::from([marker, INDEX_FILE].map(str::to_owned));
    own.extend(CARRIED_FILES.map(str::to_owned));
    own.extend(files_named(folder, "model", ".safetensors")?);
    Ok(own)
}

/// One weights file of a checkpoint.
pub(crate) struct WeightsShard<T> {
    /// Its name.
    pub name: String,
    /// What lies in it, in this order.
    pub tensors: Vec<T>,
    /// Bytes of its tensors.
    pub bytes: u64,
}

/// Shares tensors out over files of at most `max_bytes`, in their order; a larger tensor has a file of its own.
pub(crate) fn shards<T>(
    tensors: impl IntoIterator<Item = T>,
    tensor_bytes: impl Fn(&T) -> u64,
    max_bytes: u64,
) -> Vec<WeightsShard<T>> {
    let mut shards: Vec<WeightsShard<T>> = vec![];
    for tensor in tensors {
        let bytes = tensor_bytes(&tensor);
        if shards.last().is_none_or(|last| last.bytes + bytes > max_bytes) {
            shards.push(WeightsShard { name: String::new(), tensors: vec![], bytes: 0 });
        }
        let last = shards.last_mut().expect("one was just made");
        last.tensors.push(tensor);
        last.bytes += bytes;
    }
    let count = shards.len();
    for (index, shard) in shards.iter_mut().enumerate() {
        shard.name = match count {
            1 => SINGLE_FILE.into(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
        };
    }
    shards
}

/// The length prefix and header of a weights file that holds these tensors one after another.
pub(crate) fn header<'a>(tensors: impl IntoIterator<Item = StoredShape<'a>>) -> Vec<u8> {
    let mut entries = Map::new();
    entries.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut start = 0;
    for (name, dtype, shape) in tensors {
        let end = start + shape.iter().product::<u64>() * dtype.bitsize() as u64 / 8;
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        entries.insert(name.into(), entry);
        start = end;
    }
    let mut json = Value::from(entries).to_string();
    json.extend(std::iter::repeat_n(' ', json.len().next_multiple_of(8) - json.len()));
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}

/// Writes the index of a checkpoint of several files; one of a single file has none. `names` gives those of what lies in a
/// file.
pub(crate) fn write_index<'a, T, N: IntoIterator<Item: Into<String>>>(
    out: &Path,
    shards: &'a [WeightsShard<T>],
    names: impl Fn(&'a T) -> N,
) -> Result<(), EmitError> {
    if shards.len() < 2 {
        return Ok(());
    }
    write_json(&out.join(INDEX_FILE), &index(shards, names))
}

fn index<'a, T, N: IntoIterator<Item: Into<String>>>(
    shards: &'a [WeightsShard<T>],
    names: impl Fn(&'a T) -> N,
) -> Value {
    let mut files = Map::new();
    for shard in shards {
        for name in shard.tensors.iter().flat_map(&names) {
            files.insert(name.into(), shard.name.clone().into());
        }
    }
    let total: u64 = shards.iter().map(|shard| shard.bytes).sum();
    json!({ "metadata": { "total_size": total }, "weight_map": files })
}

/// Writes a value as indented JSON and syncs it.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), EmitError> {
    write_synced(path, json_text(value).as_bytes())
}

/// A value as indented JSON, ending in a line end.
pub(crate) fn json_text(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value has string keys") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tensor that is stored, of the tensors of the checkpoint that it was made from.
    type Stored = &'static [(&'static str, &'static [u64])];

    fn elements(stored: &Stored) -> u64 {
        stored.iter().map(|(_, shape)| shape.iter().product::<u64>()).sum()
    }

    #[test]
    fn headers_and_index_name_every_source_once() {
        let tensors: [Stored; 3] =
            [&[("q", &[8, 4]), ("k", &[2, 4]), ("v", &[2, 4])], &[("norm", &[4])], &[("head", &[16, 4])]];
        let shards = shards(tensors, |stored| 4 * elements(stored), 220);
        let names: Vec<&str> = shards.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
        for (shard, sources) in shards.iter().zip([vec!["k", "norm", "q", "v"], vec!["head"]]) {
            let tensors = shard.tensors.iter().copied().flatten();
            let mut file = header(tensors.map(|&(name, shape)| (name, Dtype::F32, shape)));
            assert_eq!(file.len() % 8, 0);
            file.resize(file.len() + shard.bytes as usize, 0);
            let file = safetensors::SafeTensors::deserialize(&file).unwrap();
            let mut names = file.names();
            names.sort_unstable();
            assert_eq!(names, sources);
        }
        let index = index(&shards, |stored| stored.iter().map(|(name, _)| *name));
        assert_eq!(index["metadata"]["total_size"], 4 * (48 + 4 + 64));
        assert_eq!(index["weight_map"]["v"], "model-00001-of-00002.safetensors");
        assert_eq!(index["weight_map"]["head"], "model-00002-of-00002.safetensors");
    }

    #[test]
    fn one_file_has_the_usual_name_and_types_their_own_size() {
        let tensors: [Stored; 1] = [&[("norm", &[3])]];
        let shards = shards(tensors, |stored| 2 * elements(stored), 1);
        assert_eq!((shards.len(), shards[0].name.as_str(), shards[0].bytes), (1, SINGLE_FILE, 6));
        let mut file = header([("norm", Dtype::BF16, &[3][..])]);
        file.resize(file.len() + 6, 0);
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(file.tensor("norm").unwrap().dtype(), Dtype::BF16);
    }
}
