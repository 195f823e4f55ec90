//! The metadata of a GGUF file that text needs: tokens, how text is cut into them, and the chat template.

use std::collections::HashMap;

use samp_runtime::{OpenPlan, generation_config::GENERATION_CONFIG_FILE};
use serde_json::Value;

use super::file::{MetaValue, Metadata};
use crate::import::{merges_of_scores, pre_tokenizers};

/// Kinds of tokens.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;
/// Keys of tokens that end a text or a part of it.
const ENDS: [&str; 3] = ["eos_token_id", "eot_token_id", "eom_token_id"];

/// The tokens of a model.
struct Tokens {
    texts: Vec<String>,
    kinds: Vec<i32>,
}

/// The metadata of text, for an embedding of so many rows, and what readers should know.
///
/// # Errors
/// The tokenizer does what llama.cpp cannot be told of.
pub(super) fn text_metadata(
    plan: &OpenPlan,
    rows: u64,
    model_ends: &[u32],
) -> Result<(Metadata, Vec<String>), String> {
    let Some(tokenizer) = plan.file("tokenizer.json") else {
        let note = "the plan has no tokenizer, so that the file takes token ids only";
        return Ok((
            vec![("tokenizer.ggml.model".into(), MetaValue::Text("no_vocab".into()))],
            vec![note.into()],
        ));
    };
    let tokenizer = parsed(tokenizer, "tokenizer.json")?;
    let settings = plan.file("tokenizer_config.json").map(|bytes| parsed(bytes, "tokenizer_config.json"));
    let settings = settings.transpose()?.unwrap_or_default();
    let tokens = tokens(&tokenizer, rows as usize)?;
    let mut notes = vec![];
    let mut metadata = match tokenizer["model"]["byte_fallback"] == true {
        true => sentencepiece(&tokenizer, &tokens)?,
        false => byte_level(&tokenizer, &mut notes)?,
    };
    let ids: HashMap<&str, usize> =
        tokens.texts.iter().enumerate().map(|(id, text)| (text.as_str(), id)).collect();
    let named = |key: &str| {
        let text = settings[key].as_str().or_else(|| settings[key]["content"].as_str())?;
        ids.get(text).map(|&id| id as u32)
    };
    let first = first_token(&tokenizer)?;
    let bos = first.as_deref().and_then(|text| ids.get(text)).map(|&id| id as u32);
    if bos.is_none() && first.is_some() {
        return Err(format!("a text begins with `{}`, which is no token", first.unwrap_or_default()));
    }
    let mut special = |key: &str, id: Option<u32>| {
        metadata.extend(id.map(|id| (format!("tokenizer.ggml.{key}"), MetaValue::U32(id))));
    };
    special("bos_token_id", bos.or_else(|| named("bos_token")));
    special("unknown_token_id", named("unk_token"));
    special("padding_token_id", named("pad_token"));
    let mut ends: Vec<u32> = named("eos_token").into_iter().collect();
    for end in generation_ends(plan).iter().chain(model_ends) {
        if !ends.contains(end) {
            ends.push(*end);
        }
    }
    for (key, end) in ENDS.into_iter().zip(&ends) {
        special(key, Some(*end));
    }
    if ends.len() > ENDS.len() {
        notes.push(format!("of the tokens {ends:?} that end a text the file names the first {}", ENDS.len()));
    }
    metadata.push(("tokenizer.ggml.add_bos_token".into(), MetaValue::Flag(bos.is_some())));
    metadata.push(("tokenizer.ggml.add_eos_token".into(), MetaValue::Flag(false)));
    if let Some(template) = chat_template(plan, &settings) {
        metadata.push(("tokenizer.chat_template".into(), MetaValue::Text(template)));
    }
    metadata.push(("tokenizer.ggml.tokens".into(), MetaValue::Texts(tokens.texts)));
    metadata.push(("tokenizer.ggml.token_type".into(), MetaValue::Integers(tokens.kinds)));
    Ok((metadata, notes))
}

fn parsed(bytes: &[u8], file: &str) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("its {file} is not JSON: {error}"))
}

/// Every token by its id; rows of the embedding without one have a name that no text is cut into.
fn tokens(tokenizer: &Value, rows: usize) -> Result<Tokens, String> {
    let model = &tokenizer["model"];
    if model["type"] != "BPE" {
        return Err(format!(
            "its tokenizer is of the kind {}, and samp writes byte pairs alone",
            model["type"]
        ));
    }
    let mut found =
        Tokens { texts: (0..rows).map(|id| format!("[PAD{id}]")).collect(), kinds: vec![UNUSED; rows] };
    let mut set = |id: Option<u64>, text: &str, kind: i32| {
        let id = id.map(|id| id as usize).filter(|&id| id < rows);
        let id = id.ok_or_else(|| format!("its token `{text}` has no row in the embedding of {rows}"))?;
        found.texts[id] = text.into();
        found.kinds[id] = kind;
        Ok::<(), String>(())
    };
    let is_byte = |text: &str| text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
    for (text, id) in model["vocab"].as_object().into_iter().flatten() {
        let kind = match model["byte_fallback"] == true {
            true if is_byte(text) => BYTE,
            true if model["unk_token"] == **text => UNKNOWN,
            _ => NORMAL,
        };
        set(id.as_u64(), text, kind)?;
    }
    for token in tokenizer["added_tokens"].as_array().into_iter().flatten() {
        let text = token["content"].as_str().unwrap_or_default();
        if let Some(flag) = ["lstrip", "rstrip", "single_word"].into_iter().find(|flag| token[flag] == true) {
            return Err(format!("its token `{text}` has the flag {flag}"));
        }
        let is_unknown = model["unk_token"] == *text;
        let kind = if is_unknown {
            UNKNOWN
        } else if token["special"] == true {
            CONTROL
        } else {
            USER_DEFINED
        };
        set(token["id"].as_u64(), text, kind)?;
    }
    Ok(found)
}

/// Byte pairs over an alphabet of bytes, cut before by one of the patterns that llama.cpp has names for.
fn byte_level(tokenizer: &Value, notes: &mut Vec<String>) -> Result<Metadata, String> {
    match tokenizer["normalizer"]["type"].as_str() {
        None => {}
        Some("NFC") => notes.push(
            "llama.cpp does not compose characters (NFC) before it cuts text, as the tokenizer does".into(),
        ),
        Some(other) => return Err(format!("its tokenizer normalizes text by {other}")),
    }
    let model = &tokenizer["model"];
    let own = steps(&tokenizer["pre_tokenizer"]);
    let ignores = model["ignore_merges"] == true;
    let known = pre_tokenizers().find(|known| steps(&known.json) == own && known.ignore_merges == ignores);
    let known = known.ok_or("its tokenizer cuts text by a pattern that llama.cpp has no name for")?;
    let text = |key: &str, value: &str| (format!("tokenizer.ggml.{key}"), MetaValue::Text(value.into()));
    let merges = pairs(model).into_iter().map(|[a, b]| format!("{a} {b}")).collect();
    Ok(vec![
        text("model", "gpt2"),
        text("pre", known.name),
        ("tokenizer.ggml.merges".into(), MetaValue::Texts(merges)),
    ])
}

/// The steps of a pre-tokenizer without what changes no token.
fn steps(pre_tokenizer: &Value) -> Vec<Value> {
    let Some(kind) = pre_tokenizer["type"].as_str() else { return vec![] };
    if kind == "Sequence" {
        return pre_tokenizer["pretokenizers"].as_array().into_iter().flatten().flat_map(steps).collect();
    }
    let mut step = pre_tokenizer.clone();
    step.as_object_mut().and_then(|step| step.remove("trim_offsets"));
    vec![step]
}

/// Merges in their order, however they are written.
fn pairs(model: &Value) -> Vec<[String; 2]> {
    let pair = |merge: &Value| match merge {
        Value::String(text) => text.split_once(' ').map(|(a, b)| [a.into(), b.into()]),
        other => Some([other[0].as_str()?.into(), other[1].as_str()?.into()]),
    };
    model["merges"].as_array().into_iter().flatten().filter_map(pair).collect()
}

/// sentencepiece's byte pairs, whose merges follow from the scores of the tokens.
fn sentencepiece(tokenizer: &Value, tokens: &Tokens) -> Result<Metadata, String> {
    let merges = pairs(&tokenizer["model"]);
    let mut scores: HashMap<String, f32> = HashMap::new();
    for (rank, [a, b]) in merges.iter().enumerate() {
        scores.entry(format!("{a}{b}")).or_insert(-(rank as f32));
    }
    let scores: Vec<f32> = tokens.texts.iter().map(|text| scores.get(text).copied().unwrap_or(0.0)).collect();
    let texts: Vec<&str> = tokens.texts.iter().map(String::as_str).collect();
    let wide: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
    if merges_of_scores(&texts, &wide) != merges {
        return Err("its tokenizer merges in an order that no scores of tokens give".into());
    }
    let prefix = match &steps_of_normalizer(&tokenizer["normalizer"])[..] {
        [prepend, replace] if prepend["prepend"] == "▁" && is_space(replace) => true,
        [replace] if is_space(replace) => false,
        _ => return Err("its tokenizer normalizes text otherwise than sentencepiece".into()),
    };
    if !tokenizer["pre_tokenizer"].is_null() {
        return Err("its tokenizer cuts text before it merges".into());
    }
    let text = |key: &str, value: &str| (format!("tokenizer.ggml.{key}"), MetaValue::Text(value.into()));
    Ok(vec![
        text("model", "llama"),
        text("pre", "default"),
        ("tokenizer.ggml.add_space_prefix".into(), MetaValue::Flag(prefix)),
        ("tokenizer.ggml.scores".into(), MetaValue::Floats(scores)),
    ])
}

fn steps_of_normalizer(normalizer: &Value) -> Vec<Value> {
    match normalizer["normalizers"].as_array() {
        Some(steps) => steps.clone(),
        None => vec![normalizer.clone()],
    }
}

fn is_space(step: &Value) -> bool {
    step["pattern"]["String"] == " " && step["content"] == "▁"
}

/// The token that every text begins with; more, or others behind it, cannot be told.
fn first_token(tokenizer: &Value) -> Result<Option<String>, String> {
    let processor = &tokenizer["post_processor"];
    let alone = [processor.clone()];
    let processors = processor["processors"].as_array().map_or(&alone[..], Vec::as_slice);
    let Some(template) = processors.iter().find(|of| of["type"] == "TemplateProcessing") else {
        return Ok(None);
    };
    let single = template["single"].as_array().map_or(&[][..], Vec::as_slice);
    match single {
        [sequence] if sequence.get("Sequence").is_some() => Ok(None),
        [first, sequence] if sequence.get("Sequence").is_some() && first.get("SpecialToken").is_some() => {
            let name = first["SpecialToken"]["id"].as_str().unwrap_or_default();
            let token = &template["special_tokens"][name]["tokens"][0];
            Ok(Some(token.as_str().unwrap_or(name).to_owned()))
        }
        _ => Err("its tokenizer puts other tokens to a text than one before it".into()),
    }
}

/// Tokens that end a text, as the plan's own settings say.
fn generation_ends(plan: &OpenPlan) -> Vec<u32> {
    let bytes = plan.file(GENERATION_CONFIG_FILE).unwrap_or_default();
    let settings: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let ends = &settings["eos_token_id"];
    let one = ends.as_u64().into_iter();
    let many = ends.as_array().into_iter().flatten().filter_map(Value::as_u64);
    one.chain(many).filter_map(|end| u32::try_from(end).ok()).collect()
}

/// The chat template; of several that have names, the default.
fn chat_template(plan: &OpenPlan, settings: &Value) -> Option<String> {
    if let Some(file) = plan.file("chat_template.jinja") {
        return String::from_utf8(file.to_vec()).ok();
    }
    let stated = &settings["chat_template"];
    let default = stated.as_array().into_iter().flatten().find(|of| of["name"] == "default");
    stated.as_str().or_else(|| default?["template"].as_str()).map(str::to_owned)
}
