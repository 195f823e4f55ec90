//! Recipes as people write them: a built-in name, or a TOML file of patterns and formats.

use std::path::Path;

use samp_abi::{Format, ScaleAxis};
use samp_ir::Diagnostic;
use samp_passes::recipe::{Recipe, Rule};
use samp_runtime::{
    outside_file::read_regular_text,
    path_kind::{Wanted, expect, nearest},
};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::quality_pass::{QualityPass, quant_options};
use crate::error_code;

const MAX_BYTES: u64 = 1 << 20;
const RECIPE_FILE: Wanted = Wanted::File("a recipe", &[".toml"]);

/// A recipe with the text that it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedRecipe {
    /// What the passes take.
    pub recipe: Recipe,
    /// The built-in name or the file's text, for the plan's provenance.
    pub source: String,
}

impl LoadedRecipe {
    /// The built-in recipe `samp`.
    pub fn samp() -> LoadedRecipe {
        LoadedRecipe { recipe: Recipe::samp(), source: "samp".into() }
    }
}

/// Loads `samp`, `uniform:FORMAT` or the TOML file at a path.
pub fn load(spec: &str) -> Result<LoadedRecipe, Diagnostic> {
    let refuse = |code, message: String| Err(Diagnostic::bad_input(code, message));
    let builtin = |recipe| Ok(LoadedRecipe { recipe, source: spec.to_owned() });
    if spec == "samp" {
        return Ok(LoadedRecipe::samp());
    }
    if let Some(format) = spec.strip_prefix("uniform:") {
        return match format.parse() {
            Ok(format) => builtin(Recipe::uniform(format)),
            Err(e) => {
                refuse(error_code::UNKNOWN_RECIPE, format!("expected uniform:FORMAT, found `{spec}`: {e}"))
            }
        };
    }
    if !Path::new(spec).is_file() {
        let message = format!("expected `samp`, `uniform:FORMAT` or the path of a TOML file, found `{spec}`");
        return Err(with_hint(spec, Diagnostic::bad_input(error_code::UNKNOWN_RECIPE, message)));
    }
    let source = read(spec)?;
    Ok(LoadedRecipe { recipe: parse_recipe(&source, spec)?, source })
}

/// What a recipe says where measurements decide the formats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeasuredRecipe {
    /// Format of the KV cache; `None` leaves it open.
    pub kv: Option<Format>,
    /// The quality passes; `None` leaves them open, too.
    pub quality: Option<Vec<QualityPass>>,
}

/// Loads the TOML file at a path, which has no rules: measurements decide the formats.
pub fn load_measured(path: &str) -> Result<MeasuredRecipe, Diagnostic> {
    if !Path::new(path).is_file() {
        let message = format!(
            "with --calib measurements decide the formats: expected the path of a TOML file of `quality` and `kv`, \
             found `{path}`"
        );
        let refusal = Diagnostic::bad_input(error_code::UNKNOWN_RECIPE, message);
        let is_name = path == "samp" || path.starts_with("uniform:");
        return Err(if is_name { refusal.hint("leave --recipe out") } else { with_path(path, refusal) });
    }
    parse_measured(&read(path)?, path)
}

/// Reads such a recipe; `file` is its name in messages.
pub fn parse_measured(text: &str, file: &str) -> Result<MeasuredRecipe, Diagnostic> {
    let (recipe, source) = (parse(text, file)?, SourceText { text, file });
    if let Some(rule) = recipe.rule.iter().flatten().next() {
        let message = "expected no rules with --calib, since measurements decide the formats; found one";
        return Err(source
            .refuse(error_code::MISPLACED_RECIPE, message.into(), Some(rule.pattern.span().start))
            .hint("remove the rules, or compile without --calib; --formats limits what is chosen from"));
    }
    if let Some(passes) = &recipe.quality {
        let at = Some(passes.span().start);
        quant_options(passes.get_ref(), 0)
            .map_err(|why| source.refuse(error_code::MALFORMED_RECIPE, format!("quality: {why}"), at))?;
    }
    Ok(MeasuredRecipe { kv: recipe.kv.format(), quality: recipe.quality.map(Spanned::into_inner) })
}

/// Adds the name that is spelt nearly so; or what is there where a path was meant, and what to do.
fn with_hint(spec: &str, refusal: Diagnostic) -> Diagnostic {
    match nearest(spec, ["samp".to_owned()].into_iter()) {
        Some(name) => refusal.hint(format!("did you mean {name}?")),
        None => with_path(spec, refusal),
    }
}

/// Adds what is there where a path was meant, and what to do.
fn with_path(path: &str, refusal: Diagnostic) -> Diagnostic {
    match expect(Path::new(path), RECIPE_FILE) {
        Err(wrong) => refusal.note(format!("as a path it leads to {}", wrong.found)).hint(wrong.hint),
        Ok(_) => refusal,
    }
}

fn read(path: &str) -> Result<String, Diagnostic> {
    let message = |e| format!("expected a readable recipe, found: {e}");
    read_regular_text(Path::new(path), MAX_BYTES)
        .map_err(|e| Diagnostic::bad_input(error_code::MALFORMED_RECIPE, message(e)).in_file(path))
}

/// Reads a TOML recipe; `file` is its name in messages, which add line and column. Never panics, whatever the text.
pub fn parse_recipe(text: &str, file: &str) -> Result<Recipe, Diagnostic> {
    let (recipe, source) = (parse(text, file)?, SourceText { text, file });
    if let Some(passes) = &recipe.quality {
        let message = "expected calibration data for quality passes, found none";
        return Err(source
            .refuse(error_code::MISPLACED_RECIPE, message.into(), Some(passes.span().start))
            .hint("decide by measurements with --calib DATA, or remove `quality`"));
    }
    let Some(rules) = recipe.rule else {
        let message = "expected a recipe, found: missing field `rule`";
        return Err(source.refuse(error_code::MALFORMED_RECIPE, message.into(), Some(0)));
    };
    let rule = |r: RuleEntry| Rule { pattern: r.pattern.into_inner(), format: r.format };
    let rules = rules.into_iter().map(rule).collect();
    Ok(Recipe { name: recipe.name.into_inner(), kv: recipe.kv.format(), rules })
}

/// A recipe's text with its name.
struct SourceText<'a> {
    text: &'a str,
    file: &'a str,
}

impl SourceText<'_> {
    fn refuse(&self, code: &'static str, message: String, at: Option<usize>) -> Diagnostic {
        let place =
            at.map_or(self.file.to_owned(), |at| format!("{}:{}", self.file, line_and_column(self.text, at)));
        Diagnostic::bad_input(code, message).in_file(place)
    }
}

/// A recipe of either kind, whose name and patterns are not empty.
fn parse(text: &str, file: &str) -> Result<RecipeFile, Diagnostic> {
    let source = SourceText { text, file };
    let refuse = |message: String, at| source.refuse(error_code::MALFORMED_RECIPE, message, at);
    let recipe: RecipeFile = toml::from_str(text).map_err(|e| {
        refuse(format!("expected a recipe, found: {}", e.message().trim()), e.span().map(|s| s.start))
    })?;
    if recipe.name.get_ref().trim().is_empty() {
        return Err(refuse("expected a name, found an empty one".into(), Some(recipe.name.span().start)));
    }
    let empty = recipe.rule.iter().flatten().find(|rule| rule.pattern.get_ref().is_empty());
    if let Some(rule) = empty {
        let at = Some(rule.pattern.span().start);
        return Err(refuse("expected a pattern, found an empty one".into(), at));
    }
    Ok(recipe)
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
    /// Format of the KV cache; `auto` is f32 on CPUs and f16 on GPUs.
    #[serde(default)]
    kv: KvName,
    /// The passes that are done for quality, as with `--quality`; only with calibration data.
    #[serde(default)]
    #[schemars(with = "Vec<QualityPass>")]
    quality: Option<Spanned<Vec<QualityPass>>>,
    /// The rules; the last one that matches a projection decides. None with calibration data, which then decides.
    #[serde(default)]
    #[schemars(with = "Vec<RuleEntry>")]
    rule: Option<Vec<RuleEntry>>,
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
