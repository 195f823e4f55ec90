//! Recipes as people write them: a built-in name, or a TOML file of patterns and formats.

use std::{fs, path::Path};

use samp_abi::{Format, ScaleAxis};
use samp_ir::Diagnostic;
use samp_passes::recipe::{Recipe, Rule};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// The text cannot be read as a recipe.
pub const MALFORMED: &str = "E0403";
/// There is no recipe of this name.
pub const UNKNOWN: &str = "E0404";
const MAX_BYTES: u64 = 1 << 20;

/// A recipe with the text that it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedRecipe {
    /// What the passes take.
    pub recipe: Recipe,
    /// The built-in name or the file's text, for the plan's provenance.
    pub source: String,
}

/// Loads `samp`, `uniform:FORMAT` or the TOML file at a path.
pub fn load(spec: &str) -> Result<LoadedRecipe, Diagnostic> {
    let refuse = |code, message: String| Err(Diagnostic::bad_input(code, message));
    let builtin = |recipe| Ok(LoadedRecipe { recipe, source: spec.to_owned() });
    if spec == "samp" {
        return builtin(Recipe::samp());
    }
    if let Some(format) = spec.strip_prefix("uniform:") {
        return match format.parse() {
            Ok(format) => builtin(Recipe::uniform(format)),
            Err(e) => refuse(UNKNOWN, format!("expected uniform:FORMAT, found `{spec}`: {e}")),
        };
    }
    let path = Path::new(spec);
    if !path.is_file() {
        let message = format!("expected `samp`, `uniform:FORMAT` or the path of a TOML file, found `{spec}`");
        return refuse(UNKNOWN, message);
    }
    let read = fs::metadata(path).and_then(|m| match m.len() {
        0..=MAX_BYTES => fs::read_to_string(path),
        bytes => Err(std::io::Error::other(format!("{bytes} bytes, more than a recipe has"))),
    });
    match read {
        Ok(source) => Ok(LoadedRecipe { recipe: parse_recipe(&source, spec)?, source }),
        Err(e) => {
            refuse(MALFORMED, format!("expected a readable recipe, found: {e}")).map_err(|d| d.in_file(spec))
        }
    }
}

/// Reads a TOML recipe; `file` is its name in messages, which add line and column. Never panics, whatever the text.
pub fn parse_recipe(text: &str, file: &str) -> Result<Recipe, Diagnostic> {
    let refuse = |message: String, at: Option<usize>| {
        let place = at.map_or(file.to_owned(), |at| format!("{file}:{}", line_and_column(text, at)));
        Diagnostic::bad_input(MALFORMED, message).in_file(place)
    };
    let file: RecipeFile = toml::from_str(text).map_err(|e| {
        refuse(format!("expected a recipe, found: {}", e.message().trim()), e.span().map(|s| s.start))
    })?;
    if file.name.get_ref().trim().is_empty() {
        return Err(refuse("expected a name, found an empty one".into(), Some(file.name.span().start)));
    }
    for rule in &file.rule {
        if rule.pattern.get_ref().is_empty() {
            let at = Some(rule.pattern.span().start);
            return Err(refuse("expected a pattern, found an empty one".into(), at));
        }
    }
    let rules =
        file.rule.into_iter().map(|r| Rule { pattern: r.pattern.into_inner(), format: r.format }).collect();
    Ok(Recipe { name: file.name.into_inner(), kv: file.kv.format(), rules })
}

fn line_and_column(text: &str, at: usize) -> String {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
    format!("{line}:{column}")
}

/// A samp recipe: which number format each projection of the model is stored in.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "samp recipe")]
#[serde(deny_unknown_fields)]
struct RecipeFile {
    /// Name for people; it goes into the plan.
    #[schemars(with = "String")]
    name: Spanned<String>,
    /// Format of the KV cache; `auto` is the target's activation type.
    #[serde(default)]
    kv: KvName,
    /// The rules; the last one that matches a projection decides.
    rule: Vec<RuleEntry>,
}

/// One rule.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    /// Matched against keys such as `layers.0.self_attn.q_proj`, `embed_tokens` and `lm_head`; `*` stands for any run
    /// of characters.
    #[serde(rename = "match")]
    #[schemars(with = "String")]
    pattern: Spanned<String>,
    /// What the matched weights are stored as; `fp8` is short for `fp8_e4m3`.
    #[schemars(schema_with = "format_schema")]
    format: Format,
}

/// Names of KV cache formats.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum KvName {
    #[default]
    Auto,
    F32,
    F16,
    Fp8,
}

impl KvName {
    fn format(self) -> Option<Format> {
        match self {
            KvName::Auto => None,
            KvName::F32 => Some(Format::F32),
            KvName::F16 => Some(Format::F16),
            KvName::Fp8 => Some(Format::Fp8E4m3(ScaleAxis::Tensor)),
        }
    }
}

/// The JSON Schema of a recipe file, as published in `docs/recipe.schema.json`.
pub fn recipe_schema() -> String {
    let schema = schemars::schema_for!(RecipeFile);
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON") + "\n"
}

/// As [`Format`], with the shorthand that recipes may use.
fn format_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = Format::json_schema(generator);
    if let Some(serde_json::Value::Array(names)) = schema.get_mut("enum") {
        names.push("fp8".into());
    }
    schema
}
