//! What the server counts.

use std::{collections::BTreeSet, thread};

use serde_json::json;

use crate::support::{Running, accounts};

const TEXT: &str = "/v1/completions";

/// At any time, whatever happens: as many were received as wait, run or have ended.
#[test]
fn accounts_add_up_at_any_time() {
    let server = Running::new(&["--max-num-seqs", "4", "--max-num-queued-reqs", "6"]);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..30)
            .map(|client| {
                let server = &server;
                scope.spawn(move || {
                    let body = match client % 5 {
                        0 => json!({ "prompt": [99999] }),
                        _ => json!({ "prompt": "a", "max_tokens": 60, "ignore_eos": true, "n": 1 + client % 2 }),
                    };
                    server.post(TEXT, &body).status
                })
            })
            .collect();
        while asking.iter().any(|asking| !asking.is_finished()) {
            // One page shows one moment.
            let page = server.get("/metrics").body;
            let value = |name: &str| -> f64 {
                let lines = page.lines().filter(|line| line.starts_with(name));
                lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
            };
            let parts = ["samp_requests_waiting ", "samp_requests_running ", "samp_requests_total{"];
            assert_eq!(value("samp_requests_received_total "), parts.map(value).iter().sum::<f64>());
        }
        let statuses: BTreeSet<u16> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        assert!(statuses.contains(&200) && statuses.contains(&400), "{statuses:?}");
    });
    assert_eq!(accounts(&server), (30.0, 30.0));
    server.idle();
}

/// The names that dashboards and routers made for vLLM ask for.
#[test]
fn what_others_ask_for_is_there() {
    let server = Running::new(&["--served-model-name", "tiny"]);
    let answer = server.answer(TEXT, &json!({ "prompt": "a b c", "max_tokens": 20, "ignore_eos": true }));
    // The answer is sent before the step that made it is counted.
    server.idle();
    for (name, value) in [
        ("vllm:num_requests_running", Some(0.0)),
        ("vllm:num_requests_waiting", Some(0.0)),
        ("vllm:kv_cache_usage_perc", Some(0.0)),
        ("vllm:cache_config_info", Some(1.0)),
        ("vllm:generation_tokens_total", Some(20.0)),
        ("vllm:prompt_tokens_total", answer["usage"]["prompt_tokens"].as_f64()),
        ("vllm:request_success_total", Some(1.0)),
        ("vllm:num_preemptions_total", Some(0.0)),
        ("vllm:time_to_first_token_seconds_count", Some(1.0)),
        ("vllm:inter_token_latency_seconds_count", Some(19.0)),
        ("vllm:request_time_per_output_token_seconds_count", Some(1.0)),
        ("vllm:e2e_request_latency_seconds_count", Some(1.0)),
        ("vllm:request_queue_time_seconds_count", Some(1.0)),
        ("vllm:request_prefill_time_seconds_count", Some(1.0)),
        ("vllm:request_decode_time_seconds_count", Some(1.0)),
        ("vllm:request_generation_tokens_sum", Some(20.0)),
        ("vllm:iteration_tokens_total_count", Some(20.0)),
        ("samp_step_seconds_count", Some(20.0)),
        ("samp_kv_cached_pages", None),
    ] {
        let found = server.metric(name);
        assert!(value.is_none_or(|value| value == found), "{name}: {found}");
        assert!(server.get("/metrics").body.contains(&format!("\n{name}")), "{name} is missing");
    }
    let page = server.get("/metrics").body;
    let samples = page.lines().filter(|line| line.starts_with("vllm:"));
    assert!(samples.into_iter().all(|line| line.contains("model_name=\"tiny\",engine=\"0\"")), "{page}");
}
