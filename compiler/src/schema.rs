//! The published JSON Schemas: `docs/plan.schema.json`, `docs/certificate.schema.json` and `docs/profile.schema.json`.

use crate::certificate::{Certificate, Profile};

/// JSON Schema of `plan.json`.
pub fn plan_schema() -> String {
    text(schemars::schema_for!(samp_abi::plan::Plan))
}

/// JSON Schema of `certificate.json`.
pub fn certificate_schema() -> String {
    text(schemars::schema_for!(Certificate))
}

/// JSON Schema of a profile, as `samp measure` writes it.
pub fn profile_schema() -> String {
    text(schemars::schema_for!(Profile))
}

fn text(schema: schemars::Schema) -> String {
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON") + "\n"
}
