//! JSON Schemas of what commands print with `--json`.

use schemars::{JsonSchema, schema_for};

use super::{compile, diff, doctor, explain, export, inspect, run, sign, synth, validate};
use crate::{failure::ErrorDocument, logits_file::SavedLogits, written::Written};
use samp_compiler::eval::Evaluation;
use samp_runtime::bench::BenchReport;

/// What `samp eval --json` prints: scores, or with `--ids` the file of logits.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it stands for its schema")]
enum Evaluated {
    Scores(Box<Evaluation>),
    Logits(SavedLogits),
}

/// What `samp sign --json` prints: the signature, or with `--generate-key` the key.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it stands for its schema")]
enum Signed {
    Signature(sign::Report<'static>),
    Key(sign::GeneratedKey),
}

/// The schema of each command's document, by the command's name, and that of a failure, `error`.
pub fn output_schemas() -> Vec<(&'static str, String)> {
    let text = |schema: schemars::Schema| {
        serde_json::to_string_pretty(&schema).expect("a schema is plain JSON") + "\n"
    };
    [
        ("bench", schema_for!(BenchReport)),
        ("compile", schema_for!(compile::Document)),
        ("diff", schema_for!(Vec<diff::Change>)),
        ("doctor", schema_for!(Vec<doctor::Check>)),
        ("error", schema_for!(ErrorDocument)),
        ("eval", schema_for!(Evaluated)),
        ("explain", schema_for!(explain::Report)),
        ("export", schema_for!(export::Report)),
        ("inspect", schema_for!(inspect::Summary)),
        ("run", schema_for!(run::Report)),
        ("sign", schema_for!(Signed)),
        ("synth", schema_for!(synth::Report)),
        ("validate", schema_for!(validate::Report)),
        ("written", schema_for!(Written)),
    ]
    .map(|(name, schema)| (name, text(schema)))
    .into()
}
