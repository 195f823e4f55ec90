//! Logits of given tokens in a file, behind the tokens: a safetensors header, then row after row as the model gives them.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use serde_json::json;

use crate::{error_code, failure::Failure, plan_model::PlanModel};
use samp_compiler::{
    error_code::{BAD_OUTPUT, UNREADABLE_DATA},
    eval::LanguageModel,
    jsonl::MAX_DATA_BYTES,
    output_file::{OutputFile, is_same_file},
    whole_file::WholeFile,
    wrong_path::expect_path,
};
use samp_runtime::{Wanted, outside_file::read_regular};

/// What was written.
#[derive(Serialize, schemars::JsonSchema)]
pub struct SavedLogits {
    file: PathBuf,
    /// `[batch, len, vocab]`.
    shape: [usize; 3],
}

/// Runs each row of `input_ids` in the file `ids` as a sequence of its own. `out` is replaced once all is written; on an
/// error it is as it was.
pub fn save_logits(model: &mut PlanModel, ids: &Path, out: &Path) -> anyhow::Result<SavedLogits> {
    expect_path(ids, Wanted::File("a safetensors file of token ids", &[".safetensors"]), UNREADABLE_DATA)?;
    OutputFile::Logits.check(out)?;
    if is_same_file(ids, out) {
        let message = "--save-logits would replace the file of --ids";
        return Err(Failure::new(BAD_OUTPUT, message).in_file(out.display().to_string()).into());
    }
    let bytes =
        read_regular(ids, MAX_DATA_BYTES).with_context(|| format!("{} cannot be read", ids.display()))?;
    let refuse =
        |message: String| Failure::new(error_code::TOKEN_IDS, message).in_file(ids.display().to_string());
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|why| refuse(format!("expected a safetensors file, found: {why}")))?;
    let input = file.tensor("input_ids").map_err(|_| refuse("it has no tensor `input_ids`".into()))?;
    let (dtype, shape) = (input.dtype(), input.shape());
    if dtype != Dtype::I64 || shape.len() != 2 || shape.contains(&0) {
        return Err(
            refuse(format!("`input_ids`: expected i64 [batch, len], found {dtype:?} {shape:?}")).into()
        );
    }
    let shape = [shape[0], shape[1], model.vocab_size()];
    let unwritable = || format!("{} cannot be written", out.display());
    let mut writer = WholeFile::create(out).with_context(unwritable)?;
    writer.write_all(&header(shape)).with_context(unwritable)?;
    writer.write_all(input.data()).with_context(unwritable)?;
    for row in input.data().chunks_exact(shape[1] * 8) {
        let tokens: Vec<u32> =
            row.chunks_exact(8).map(|id| token_id(id, shape[2])).collect::<Result<_, Failure>>()?;
        writer.write_all(bytemuck::cast_slice(model.logits(&tokens)?)).with_context(unwritable)?;
    }
    writer.commit().with_context(unwritable)?;
    Ok(SavedLogits { file: out.into(), shape })
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

fn token_id(bytes: &[u8], vocab: usize) -> Result<u32, Failure> {
    let id = i64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
    let known = u32::try_from(id).ok().filter(|&id| (id as usize) < vocab);
    let message = || format!("`input_ids`: expected token ids from 0 to {}, found {id}", vocab - 1);
    known.ok_or_else(|| Failure::new(error_code::TOKEN_IDS, message()))
}
