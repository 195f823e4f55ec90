//! The `tokenizer.json` and its companions that a GGUF file's metadata amounts to.

use std::collections::HashMap;

use samp_ir::Diagnostic;
use serde_json::{Map, Value, json};

use super::metadata::Metadata;
use crate::error_code;

/// Kinds of tokens.
const UNKNOWN: f64 = 2.0;
const CONTROL: f64 = 3.0;
const USER_DEFINED: f64 = 4.0;
/// A longer token is none: each of its parts would be looked up.
const MAX_TOKEN_BYTES: usize = 1 << 12;

/// Split patterns of byte-level tokenizers by the names that llama.cpp gives them, and whether a text that is a token is
/// taken whole. The patterns are those of the models' own tokenizers.
struct PreTokenizer {
    names: &'static [&'static str],
    /// What text is cut by; `None` is GPT-2's pattern.
    pattern: Option<&'static str>,
    /// Whether each digit stands alone before that.
    single_digits: bool,
    ignore_merges: bool,
    /// Whether a text begins with the first token unless the file says otherwise.
    adds_bos: bool,
}

const PRE_TOKENIZERS: &[PreTokenizer] = &[
    PreTokenizer {
        names: &["llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral"],
        pattern: Some(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        single_digits: false,
        ignore_merges: true,
        adds_bos: true,
    },
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        pattern: None,
        single_digits: true,
        ignore_merges: false,
        adds_bos: false,
    },
    PreTokenizer {
        names: &["gpt-2", "phi-2", "jina-es", "jina-de", "mpt", "olmo", "dbrx"],
        pattern: None,
        single_digits: false,
        ignore_merges: false,
        adds_bos: false,
    },
    PreTokenizer {
        names: &["qwen2", "stablelm2", "megrez"],
        pattern: Some(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        single_digits: false,
        ignore_merges: false,
        adds_bos: false,
    },
    PreTokenizer {
        names: &["tekken"],
        pattern: Some(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        single_digits: false,
        ignore_merges: true,
        adds_bos: true,
    },
];

/// A way of cutting text that llama.cpp has a name for.
pub(crate) struct KnownPreTokenizer {
    pub(crate) name: &'static str,
    /// As `tokenizer.json` says it.
    pub(crate) json: Value,
    /// Whether a text that is a token is taken whole.
    pub(crate) ignore_merges: bool,
}

/// Those that are read.
pub(crate) fn pre_tokenizers() -> impl Iterator<Item = KnownPreTokenizer> {
    PRE_TOKENIZERS.iter().map(|known| KnownPreTokenizer {
        name: known.names[0],
        json: known.json(),
        ignore_merges: known.ignore_merges,
    })
}

impl PreTokenizer {
    fn json(&self) -> Value {
        let mut steps = vec![];
        if self.single_digits {
            steps.push(json!({ "type": "Digits", "individual_digits": true }));
        }
        if let Some(pattern) = self.pattern {
            let split = json!({ "Regex": pattern });
            steps.push(json!({ "type": "Split", "pattern": split, "behavior": "Isolated", "invert": false }));
        }
        steps.push(bytes_of_text(self.pattern.is_none(), false));
        json!({ "type": "Sequence", "pretokenizers": steps })
    }
}

/// Bytes as GPT-2's alphabet has them.
fn bytes_of_text(regex: bool, prefix: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": regex })
}

/// Files by name, and what was found that keeps text from being read.
pub(super) type TextFiles = (Vec<(&'static str, Vec<u8>)>, Option<Diagnostic>);

/// The tokens of a file.
struct Tokens<'a> {
    texts: Vec<&'a str>,
    kinds: Vec<f64>,
}

/// The files that text needs. Where samp does not know the tokenizer there are none, with a warning.
pub(super) fn files(meta: &Metadata<'_>) -> Result<TextFiles, Diagnostic> {
    let kind = meta.text("tokenizer.ggml.model")?.unwrap_or("none");
    let Some(texts) = meta.texts("tokenizer.ggml.tokens")? else {
        return Ok((vec![], Some(no_tokenizer(meta, "expected tokens in the file, found none"))));
    };
    if let Some(long) = texts.iter().find(|text| text.len() > MAX_TOKEN_BYTES) {
        let message =
            format!("expected tokens of at most {MAX_TOKEN_BYTES} bytes, found one of {}", long.len());
        return Err(meta.refuse(message));
    }
    let kinds = meta.numbers("tokenizer.ggml.token_type")?.unwrap_or_else(|| vec![1.0; texts.len()]);
    if kinds.len() != texts.len() {
        let (tokens, kinds) = (texts.len(), kinds.len());
        return Err(meta.refuse(format!("expected a kind for each of {tokens} tokens, found {kinds}")));
    }
    let tokens = Tokens { texts, kinds };
    let pre = meta.text("tokenizer.ggml.pre")?.unwrap_or("default");
    let (tokenizer, adds_bos) = match kind {
        "gpt2" => match PRE_TOKENIZERS.iter().find(|known| known.names.contains(&pre)) {
            Some(known) => (byte_level(meta, &tokens, known)?, known.adds_bos),
            None => {
                let names: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|known| known.names).copied().collect();
                let message =
                    format!("`tokenizer.ggml.pre`: expected one of {}, found {pre:?}", names.join(", "));
                return Ok((vec![], Some(no_tokenizer(meta, &message))));
            }
        },
        "llama" => (sentencepiece(meta, &tokens)?, true),
        other => {
            let message = format!("`tokenizer.ggml.model`: expected \"gpt2\" or \"llama\", found {other:?}");
            return Ok((vec![], Some(no_tokenizer(meta, &message))));
        }
    };
    let adds_bos = meta.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
    let first = id_of(meta, &tokens, "bos_token_id")?.filter(|_| adds_bos);
    let tokenizer = with_first_token(tokenizer, first);
    let mut files = vec![
        ("tokenizer.json", bytes(&tokenizer)),
        ("tokenizer_config.json", bytes(&tokenizer_config(meta, &tokens, adds_bos)?)),
    ];
    if let Some(template) = meta.text("tokenizer.chat_template")? {
        files.push(("chat_template.jinja", template.as_bytes().to_vec()));
    }
    Ok((files, None))
}

fn bytes(value: &Value) -> Vec<u8> {
    (serde_json::to_string(value).expect("a JSON value has string keys") + "\n").into_bytes()
}

fn no_tokenizer(meta: &Metadata<'_>, message: &str) -> Diagnostic {
    Diagnostic::bad_input(error_code::CARRIED, message)
        .warning()
        .in_file(meta.file)
        .note("the plan will take token ids only, no text")
}

/// Added tokens: those that a text names whole.
fn added(tokens: &Tokens<'_>) -> Vec<Value> {
    let is_added = |kind: f64| kind == CONTROL || kind == USER_DEFINED;
    let token = |(id, (text, kind)): (usize, (&&str, &f64))| {
        is_added(*kind).then(|| {
            json!({
                "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind == CONTROL,
            })
        })
    };
    tokens.texts.iter().zip(&tokens.kinds).enumerate().filter_map(token).collect()
}

fn vocabulary(tokens: &Tokens<'_>) -> Map<String, Value> {
    tokens.texts.iter().enumerate().map(|(id, text)| ((*text).to_owned(), id.into())).collect()
}

/// Byte pairs over GPT-2's alphabet of bytes.
fn byte_level(meta: &Metadata<'_>, tokens: &Tokens<'_>, pre: &PreTokenizer) -> Result<Value, Diagnostic> {
    let merges = meta.texts("tokenizer.ggml.merges")?;
    let merges = merges
        .ok_or_else(|| meta.refuse("`tokenizer.ggml.merges`: expected texts, found no such key".into()))?;
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added(tokens), "normalizer": null,
        "pre_tokenizer": pre.json(),
        "post_processor": null,
        "decoder": bytes_of_text(true, true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": pre.ignore_merges, "vocab": vocabulary(tokens), "merges": merges,
        },
    }))
}

/// sentencepiece's byte pairs: merges follow from the scores of what they give.
fn sentencepiece(meta: &Metadata<'_>, tokens: &Tokens<'_>) -> Result<Value, Diagnostic> {
    let scores = meta.numbers("tokenizer.ggml.scores")?.filter(|scores| scores.len() == tokens.texts.len());
    let scores =
        scores.ok_or_else(|| meta.refuse("`tokenizer.ggml.scores`: expected one for each token".into()))?;
    let prefix = meta.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let unknown = tokens.kinds.iter().position(|&kind| kind == UNKNOWN).map(|id| tokens.texts[id]);
    let space = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let mut normalizers = vec![space];
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": "▁" }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added(tokens),
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary(tokens), "merges": merges_of_scores(&tokens.texts, &scores),
        },
    }))
}

/// Every way to make a token of two, the best score first, as transformers orders them.
pub(crate) fn merges_of_scores(texts: &[&str], scores: &[f64]) -> Vec<[String; 2]> {
    let ids: HashMap<&str, usize> = texts.iter().enumerate().map(|(id, text)| (*text, id)).collect();
    let mut found: Vec<(f64, usize, [&str; 2])> = vec![];
    for (text, &score) in texts.iter().zip(scores) {
        let cuts = text.char_indices().skip(1).map(|(at, _)| text.split_at(at));
        let mut local: Vec<(usize, usize, [&str; 2])> =
            cuts.filter_map(|(a, b)| Some((*ids.get(a)?, *ids.get(b)?, [a, b]))).collect();
        local.sort_by_key(|(a, b, _)| (*a, *b));
        found.extend(local.into_iter().map(|(_, _, pair)| (score, pair[0].chars().count(), pair)));
    }
    found.sort_by(|a, b| {
        let length = |pair: &[&str; 2]| pair[1].chars().count();
        b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then_with(|| length(&b.2).cmp(&length(&a.2)))
    });
    found.into_iter().map(|(_, _, pair)| pair.map(str::to_owned)).collect()
}

/// The tokenizer with a token before every text.
fn with_first_token(mut tokenizer: Value, first: Option<(usize, &str)>) -> Value {
    if let Some((id, text)) = first {
        tokenizer["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": text, "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [
                { "SpecialToken": { "id": text, "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } },
                { "SpecialToken": { "id": text, "type_id": 1 } }, { "Sequence": { "id": "B", "type_id": 1 } },
            ],
            "special_tokens": { text: { "id": text, "ids": [id], "tokens": [text] } },
        });
    }
    tokenizer
}

/// The token that a key names.
fn id_of<'a>(
    meta: &Metadata<'_>,
    tokens: &Tokens<'a>,
    key: &str,
) -> Result<Option<(usize, &'a str)>, Diagnostic> {
    let Some(id) = meta.integer(&format!("tokenizer.ggml.{key}"))? else { return Ok(None) };
    match tokens.texts.get(id as usize) {
        Some(text) => Ok(Some((id as usize, text))),
        None => {
            let count = tokens.texts.len();
            Err(meta.refuse(format!("`tokenizer.ggml.{key}`: expected one of {count} tokens, found {id}")))
        }
    }
}

fn tokenizer_config(meta: &Metadata<'_>, tokens: &Tokens<'_>, adds_bos: bool) -> Result<Value, Diagnostic> {
    let mut config = json!({ "add_bos_token": adds_bos, "clean_up_tokenization_spaces": false });
    for (name, key) in [
        ("bos_token", "bos_token_id"),
        ("eos_token", "eos_token_id"),
        ("unk_token", "unknown_token_id"),
        ("pad_token", "padding_token_id"),
    ] {
        if let Some((_, text)) = id_of(meta, tokens, key)? {
            config[name] = text.into();
        }
    }
    Ok(config)
}
