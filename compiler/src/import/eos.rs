//! The tokens that end a text, as `config.json` and `generation_config.json` name them.

use samp_ir::Diagnostic;

use super::json::Object;
use crate::error_code;

/// The tokens that end a text: one id or several, none if the key is absent or null. What is beyond the vocabulary ends
/// none, which is said.
pub(super) fn eos_token_ids(
    keys: &mut Object<'_>,
    vocab: u64,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<u32>, Diagnostic> {
    const KEY: &str = "eos_token_id";
    let Some(value) = keys.take(KEY) else { return Ok(vec![]) };
    let listed = value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
    let mut ids = Vec::new();
    for item in listed {
        match item.as_i64() {
            Some(id) if (0..vocab as i64).contains(&id) => {
                if !ids.contains(&(id as u32)) {
                    ids.push(id as u32);
                }
            }
            Some(id) => {
                let message = format!("`{KEY}`: expected token ids below vocab_size = {vocab}, found {id}");
                let warning = Diagnostic::bad_input(error_code::IGNORED_KEY, message).warning();
                warnings.push(warning.note("no token has this id, so that it ends no text"));
            }
            None => return Err(keys.wrong(KEY, "token ids", &value)),
        }
    }
    Ok(ids)
}
