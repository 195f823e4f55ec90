//! The published JSON Schemas: `docs/plan.schema.json` and `docs/certificate.schema.json`.

use super::certificate::Certificate;

/// JSON Schema of `plan.json`.
pub fn plan_schema() -> String {
    text(schemars::schema_for!(samp_abi::plan::Plan))
}

/// JSON Schema of `certificate.json`.
pub fn certificate_schema() -> String {
    text(schemars::schema_for!(Certificate))
}

fn text(schema: schemars::Schema) -> String {
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON") + "\n"
}
