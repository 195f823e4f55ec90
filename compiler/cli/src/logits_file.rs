//! Logits of given tokens in a file, behind the tokens: a safetensors header, then row after row as the model gives them.

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use serde_json::json;

use crate::plan_model::PlanModel;
use samp_compiler::{
    error_code,
    eval::LanguageModel,
    wrong_path::{expect_path, expect_writable_file},
};
use samp_runtime::Wanted;

/// What was written.
#[derive(Serialize)]
pub struct SavedLogits {
    file: PathBuf,
    /// `[batch, len, vocab]`.
    shape: [usize; 3],
}

/// Runs each row of `input_ids` in the file `ids` as a sequence of its own. `out` is replaced once all is written; on an
/// error it is as it was.
pub fn save_logits(model: &mut PlanModel, ids: &Path, out: &Path) -> anyhow::Result<SavedLogits> {
    expect_path(
        ids,
        Wanted::File("a safetensors file of token ids", &[".safetensors"]),
        error_code::UNREADABLE_DATA,
    )?;
    expect_writable_file(out)?;
    let bytes = std::fs::read(ids).with_context(|| format!("{} cannot be read", ids.display()))?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{} is not a safetensors file", ids.display()))?;
    let input =
        file.tensor("input_ids").with_context(|| format!("{} has no tensor `input_ids`", ids.display()))?;
    let (dtype, shape) = (input.dtype(), input.shape());
    ensure!(
        dtype == Dtype::I64 && shape.len() == 2 && shape.iter().all(|&n| n > 0),
        "`input_ids`: expected i64 [batch, len], found {dtype:?} {shape:?}"
    );
    let shape = [shape[0], shape[1], model.vocab_size()];
    let unwritable = || format!("{} cannot be written", out.display());
    let partial = beside(out).with_context(unwritable)?;
    let mut writer = BufWriter::new(partial.as_file());
    writer.write_all(&header(shape)).with_context(unwritable)?;
    writer.write_all(input.data()).with_context(unwritable)?;
    for row in input.data().chunks_exact(shape[1] * 8) {
        let tokens: Vec<u32> =
            row.chunks_exact(8).map(|id| token_id(id, shape[2])).collect::<anyhow::Result<_>>()?;
        writer.write_all(bytemuck::cast_slice(model.logits(&tokens)?)).with_context(unwritable)?;
    }
    writer.flush().with_context(unwritable)?;
    drop(writer);
    partial.as_file().sync_all().with_context(unwritable)?;
    partial.persist(out).map_err(|e| e.error).with_context(unwritable)?;
    Ok(SavedLogits { file: out.into(), shape })
}

/// A new file in the folder of `out`, with the permissions that any new file gets.
fn beside(out: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix(".logits-")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

/// The safetensors header of `input_ids` and, behind it, `logits`.
fn header(shape: [usize; 3]) -> Vec<u8> {
    let ids = shape[0] * shape[1] * 8;
    let end = ids + shape.iter().product::<usize>() * 4;
    let mut json = json!({
        "input_ids": { "dtype": "I64", "shape": shape[..2], "data_offsets": [0, ids] },
        "logits": { "dtype": "F32", "shape": shape, "data_offsets": [ids, end] },
    })
    .to_string();
    json.extend(std::iter::repeat_n(' ', json.len().next_multiple_of(8) - json.len()));
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}

fn token_id(bytes: &[u8], vocab: usize) -> anyhow::Result<u32> {
    let id = i64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
    let known = u32::try_from(id).ok().filter(|&id| (id as usize) < vocab);
    known.with_context(|| format!("`input_ids`: expected token ids from 0 to {}, found {id}", vocab - 1))
}
