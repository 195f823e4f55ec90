//! The log: a JSON object a line on stderr. It holds no text of a prompt or an answer, and no key.

use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

use super::{
    accounts::{Outcome, Summary},
    plan_labels::PlanLabels,
};

/// Something that happened to the server.
pub fn event(event: &str, fields: Value) {
    write("info", event, fields);
}

/// Something that went wrong with the server.
pub fn error(event: &str, fields: Value) {
    write("error", event, fields);
}

/// A request that has ended.
pub(super) fn request(
    request_id: &str,
    plan: &PlanLabels,
    outcome: Outcome,
    latency: Duration,
    summary: &Summary,
) {
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    event(
        "request",
        json!({
            "request_id": request_id,
            "model": plan.model,
            "plan": plan.digest,
            "quantization_level": plan.quantization_level,
            "outcome": outcome.name(),
            "status": summary.status,
            "queue_ms": summary.queue.map(ms),
            "ttft_ms": summary.to_first_token.map(ms),
            "latency_ms": ms(latency),
            "prompt_tokens": summary.prompt_tokens,
            "cached_tokens": summary.cached_tokens,
            "completion_tokens": summary.completion_tokens,
        }),
    );
}

fn write(level: &str, event: &str, fields: Value) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = Map::new();
    line.insert("time".into(), json!(now.as_millis() as f64 / 1e3));
    line.insert("level".into(), json!(level));
    line.insert("event".into(), json!(event));
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
    let mut text = Value::Object(line).to_string();
    text.push('\n');
    // A log that cannot be written to must not stop the server.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
