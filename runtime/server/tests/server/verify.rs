//! A plan that serves is looked after: what it served is computed again, and its probe is run.

use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Running, accounts, compiled};

const TEXT: &str = "/v1/completions";

/// Requests that use whatever changes how tokens come to be.
fn bodies() -> Vec<Value> {
    let prompt = |client: usize| format!("The parser reads number {client} of the");
    (0..30)
        .map(|client| {
            let mut body = json!({ "prompt": prompt(client / 3), "max_tokens": 20 + client, "seed": client });
            match client % 6 {
                0 => body["temperature"] = json!(0),
                1 => body["repetition_penalty"] = json!(1.3),
                2 => body["structured_outputs"] = json!({ "regex": "[a-z ]{10,30}" }),
                3 => body["n"] = json!(2),
                4 => body["logprobs"] = json!(3),
                _ => body["top_p"] = json!(0.8),
            }
            body
        })
        .collect()
}

fn wait(server: &Running, what: &str, until: impl Fn() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: {}", server.get("/metrics").body);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_was_served_is_computed_again_to_the_last_bit() {
    let server = Running::new(&["--rescore", "100%", "--golden-interval", "0.1", "--kv-tokens", "1024"]);
    let bodies = bodies();
    thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(|| server.answer(TEXT, body));
        }
    });
    let answers = bodies.iter().map(|body| body["n"].as_u64().unwrap_or(1)).sum::<u64>() as f64;
    let looked_at = || server.metric("samp_rescored_total") + server.metric("samp_rescore_dropped_total");
    wait(&server, "not all were looked at", || looked_at() == answers);
    wait(&server, "no probe", || server.metric("samp_golden_probes_total") > 0.0);
    assert!(server.metric("samp_rescored_total") >= 8.0);
    for failed in ["samp_rescore_mismatch_total", "samp_golden_failures_total", "quantization_scale_drift"] {
        assert_eq!(server.metric(failed), 0.0, "{failed}");
    }
    server.idle();
    // The server's own questions are nobody's requests.
    assert_eq!(accounts(&server), (bodies.len() as f64, bodies.len() as f64));
    assert_eq!(server.metric("vllm:request_success_total"), answers);
    assert_eq!(server.get("/ready").status, 200);
}

#[test]
fn a_plan_whose_memory_changes_is_not_ready_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("f16.plan");
    compiled(&plan, "uniform:f16", 8);
    let server = Running::of(&plan, &["--golden-interval", "0.1"]);
    wait(&server, "no probe", || server.metric("samp_golden_probes_total") > 0.0);
    assert_eq!((server.metric("samp_golden_failures_total"), server.get("/ready").status), (0.0, 200));
    // Weights are mapped from the plan's files: what is written there is what the engine computes with.
    for entry in fs::read_dir(&plan).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let length = fs::metadata(&path).unwrap().len();
            let mut file = OpenOptions::new().write(true).open(&path).unwrap();
            file.seek(SeekFrom::Start(length / 2)).unwrap();
            file.write_all(&vec![0x35; length as usize / 4]).unwrap();
        }
    }
    wait(&server, "nothing is noticed", || server.metric("samp_golden_failures_total") > 0.0);
    assert_eq!(server.get("/ready").status, 503);
}
