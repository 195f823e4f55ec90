//! `samp bench serve` against a server, by its binary.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::Running;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_samp-server")).arg("bench").args(arguments).output().unwrap()
}

fn result(server: &Running, arguments: &[&str]) -> Value {
    let url = format!("http://{}", server.address);
    let all = [&["--base-url", &url, "--output-len", "12", "--json"], arguments].concat();
    let output = bench(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What clients count is what the server counts.
#[test]
fn closed_and_open_loops_see_what_the_server_counts() {
    let server = Running::new(&[]);
    let closed = result(&server, &["--num-prompts", "40", "--users", "8"]);
    assert_eq!((closed["completed"].as_u64(), closed["output_tokens"].as_u64()), (Some(40), Some(480)));
    assert_eq!(server.metric("vllm:generation_tokens_total"), 480.0);
    assert_eq!(server.metric("vllm:prompt_tokens_total"), closed["prompt_tokens"].as_f64().unwrap());
    // A client sees a little more than the server, which begins to count once a request has come.
    let seen = closed["ttft_ms"]["mean"].as_f64().unwrap();
    let served = server.metric("vllm:time_to_first_token_seconds_sum") / 40.0 * 1e3;
    assert!(
        seen >= served && closed["e2el_ms"]["p99"].as_f64() >= closed["ttft_ms"]["p50"].as_f64(),
        "{seen} {served}"
    );

    let open = ["--num-prompts", "30", "--request-rate", "60", "--goodput", "ttft:60000", "--price", "2"];
    let open = result(&server, &open);
    assert!((0.3..5.0).contains(&open["duration_s"].as_f64().unwrap()), "{open}");
    assert_eq!(open["request_goodput"], open["request_throughput"]);
    assert!(open["price_per_million_output_tokens"].as_f64().unwrap() > 0.0);
    let timed = result(&server, &["--duration", "0.5", "--max-concurrency", "2"]);
    assert!(timed["duration_s"].as_f64().unwrap() >= 0.5 && timed["failed"] == 0, "{timed}");
    server.idle();
}

#[test]
fn failures_are_counted_and_results_compared() {
    let (folder, server) =
        (tempfile::tempdir().unwrap(), Running::new(&["--max-num-seqs", "1", "--max-num-queued-reqs", "1"]));
    let url = format!("http://{}", server.address);
    let page = folder.path().join("page.html");
    let crowd = [
        "--base-url",
        &url,
        "--num-prompts",
        "20",
        "--users",
        "20",
        "--json",
        "--html",
        page.to_str().unwrap(),
    ];
    let output = bench(&crowd);
    assert_eq!(output.status.code(), Some(1), "some are refused");
    let crowded: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        crowded["failed"].as_u64() > Some(0) && crowded["errors"][0].as_str().unwrap().contains("429"),
        "{crowded}"
    );
    assert!(std::fs::read_to_string(&page).unwrap().contains("<svg"));
    let (before, after) = (folder.path().join("a.json"), folder.path().join("b.json"));
    std::fs::write(&before, &output.stdout).unwrap();
    std::fs::write(&after, &output.stdout).unwrap();
    let compared = bench(&["--compare", before.to_str().unwrap(), after.to_str().unwrap()]);
    let table = String::from_utf8(compared.stdout).unwrap();
    assert!(
        compared.status.success() && table.contains("requests failed") && table.contains("+0.0 %"),
        "{table}"
    );

    let gone = bench(&["--base-url", "http://127.0.0.1:1"]);
    let said = String::from_utf8(gone.stderr).unwrap();
    assert!(said.starts_with("error[E1610]: ") && gone.status.code() == Some(3), "{said}");
}
