//! A plan beside its baseline: what is scored, and who answers.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::ask,
    support::{Running, SEQUENCES, compiled, plan},
};

const TEXT: &str = "/v1/completions";

/// A baseline in f16, in a folder of its own.
fn baseline() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f16.plan");
    compiled(&path, "uniform:f16", SEQUENCES);
    (folder, path)
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Judged {
    server: Running,
    operators: SocketAddr,
}

impl Judged {
    fn new(baseline: &std::path::Path, flags: &[&str]) -> Judged {
        Judged::by("--baseline", baseline.to_str().unwrap(), flags)
    }

    fn by(reference: &str, name: &str, flags: &[&str]) -> Judged {
        let port = free_port();
        let port_text = port.to_string();
        let own = [reference, name, "--shadow", "100%", "--admin-port", port_text.as_str()];
        let server = Running::new(&[&own, flags].concat());
        Judged { server, operators: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn gate(&self) -> (u16, Value) {
        let response = ask(self.operators, "GET", "/v1/samp/gate", &[], "");
        (response.status, response.json())
    }

    fn answer(&self, seed: usize) -> Value {
        self.server.answer(TEXT, &body(seed))
    }

    /// Waits until the judge has scored what it was given.
    fn scored(&self) {
        let began = Instant::now();
        let sum = |names: &[&str]| names.iter().map(|name| self.server.metric(name)).sum::<f64>();
        let done = ["samp_shadow_scored_total", "samp_shadow_dropped_total", "samp_shadow_failed_total"];
        while sum(&done) < self.server.metric("samp_shadow_sampled_total") {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", self.server.get("/metrics").body);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn body(seed: usize) -> Value {
    let prompts = ["The parser reads", "fn main() {", "{\"name\": ", "Once upon a time"];
    let prompt = format!("{} {seed}", prompts[seed % prompts.len()]);
    json!({ "prompt": prompt, "max_tokens": 24, "seed": seed, "ignore_eos": true })
}

#[test]
fn a_plan_that_keeps_its_limit_serves_on_with_the_same_texts() {
    let (_folder, baseline) = baseline();
    let judged = Judged::new(&baseline, &["--drift-limit", "20%", "--canary", "none"]);
    let alone = Running::new(&[]);
    for seed in 0..40 {
        let (seen, unseen) = (judged.answer(seed), alone.answer(TEXT, &body(seed)));
        assert_eq!(seen["choices"], unseen["choices"], "the judge changes no text");
        assert_eq!(seen["system_fingerprint"], unseen["system_fingerprint"]);
    }
    judged.scored();
    let (status, gate) = judged.gate();
    assert_eq!((status, &gate["stage"], &gate["blind"]), (200, &json!("plan"), &json!(false)), "{gate}");
    let kl = gate["strata"]["all"]["kl_nats"].as_f64().unwrap();
    // Between nothing at all and what a broken plan would do.
    assert!((0.0003..0.05).contains(&kl), "{kl} nats");
    assert_eq!(judged.server.metric("samp_shadow_scored_total"), 40.0);
    assert_eq!(judged.server.metric("samp_shadow_failed_total"), 0.0);
}

/// A server of the unquantized model elsewhere names the likeliest tokens alone: what it finds is true, if a little less.
#[test]
fn a_teacher_scores_what_is_served_and_takes_over_from_nobody() {
    let (_folder, baseline) = baseline();
    let teacher = Running::of(&baseline, &["--served-model-name", "teacher"]);
    let url = format!("http://{}/v1", teacher.address);
    let kl = |judged: &Judged| {
        (0..20).for_each(|seed| drop(judged.answer(seed)));
        judged.scored();
        judged.gate().1["strata"]["all"]["kl_nats"].as_f64().unwrap()
    };
    let taught = Judged::by("--teacher", &url, &["--drift-limit", "20%"]);
    let own = taught.answer(0)["system_fingerprint"].clone();
    let (coarse, whole) =
        (kl(&taught), kl(&Judged::new(&baseline, &["--drift-limit", "20%", "--canary", "none"])));
    // Positions are drawn anew, so that the two are no exact pair.
    assert!(coarse > 0.2 * whole && coarse < 1.5 * whole, "{coarse} of {whole} nats");
    assert_eq!((taught.gate().0, taught.server.metric("samp_shadow_failed_total")), (200, 0.0));

    let strict = Judged::by("--teacher", &url, &["--drift-limit", "0.02%"]);
    let began = Instant::now();
    while strict.gate().0 == 200 {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", strict.gate().1);
        (0..10).for_each(|seed| assert_eq!(strict.answer(seed)["system_fingerprint"], own));
        strict.scored();
    }
    assert_eq!(strict.answer(1)["system_fingerprint"], own, "nobody else could answer");

    // A teacher that is gone scores nothing, which is counted.
    drop(teacher);
    taught.answer(3);
    let began = Instant::now();
    while taught.server.metric("samp_shadow_failed_total") == 0.0 {
        assert!(began.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_plan_against_itself_does_not_diverge() {
    let judged = Judged::new(&plan(), &["--canary", "none"]);
    (0..10).for_each(|seed| drop(judged.answer(seed)));
    judged.scored();
    let (_, gate) = judged.gate();
    assert_eq!(gate["strata"]["all"]["kl_nats"], json!(0.0), "the baseline computes other bits: {gate}");
}

#[test]
fn a_plan_that_exceeds_its_limit_is_rolled_back_and_no_request_is_lost() {
    let (folder, baseline) = baseline();
    let state = folder.path().join("state.json");
    let flags = ["--drift-limit", "0.05%", "--canary", "none", "--state", state.to_str().unwrap()];
    let judged = Judged::new(&baseline, &flags);
    let own = judged.answer(0)["system_fingerprint"].clone();
    // Every one of these is answered, whoever answers.
    let asked = (1..=200).find(|seed| judged.answer(*seed)["system_fingerprint"] != own);
    let asked = asked.expect("the baseline takes over within 200 requests");
    println!("rolled back after {asked} requests");
    let (status, gate) = judged.gate();
    assert_eq!(
        (status, &gate["stage"], &gate["weight"]),
        (412, &json!("rolled_back"), &json!(0.0)),
        "{gate}"
    );
    assert_eq!(gate["rolled_back"][1]["drift"], json!("all"));
    judged.server.idle();
    let rollbacks = judged.server.metric("samp_rollbacks_total");
    assert_eq!((rollbacks, judged.server.metric("samp_requests_total")), (1.0, asked as f64 + 1.0));
    let failed = judged.server.get("/metrics").body.contains("samp_requests_total{outcome=\"failed\"} 0");
    assert!(failed, "no request failed");

    // It stays so over a restart, until an operator says otherwise.
    drop(judged);
    let again = Judged::new(&baseline, &flags);
    assert_ne!(again.answer(1)["system_fingerprint"], own);
    let promoted = ask(again.operators, "POST", "/v1/samp/promote", &[], "");
    assert_eq!((promoted.status, &promoted.json()["stage"]), (200, &json!("plan")));
    assert_eq!(again.answer(1)["system_fingerprint"], own);
    ask(again.operators, "POST", "/v1/samp/rollback", &[], "");
    assert_ne!(again.answer(1)["system_fingerprint"], own);
    assert_eq!(again.gate().1["stage"], json!("latched"));
}

#[test]
fn a_canary_answers_a_part_of_the_requests() {
    let (_folder, baseline) = baseline();
    let judged = Judged::new(&baseline, &["--drift-limit", "20%", "--canary", "50%"]);
    let answers: Vec<Value> = (0..60).map(|seed| judged.answer(seed)["system_fingerprint"].clone()).collect();
    let first = answers.iter().filter(|answer| **answer == answers[0]).count();
    assert!((10..50).contains(&first), "{first} of 60");
    assert_eq!(judged.gate().1["stage"], json!({ "canary": 0 }));
}

#[test]
fn strata_are_told_apart_by_what_clients_say() {
    let judged = Judged::new(&plan(), &["--canary", "none"]);
    for (stratum, requests) in [("code", 3), ("prose", 2), ("not a word", 1)] {
        for seed in 0..requests {
            let headers = [("x-samp-stratum", stratum)];
            let answer = ask(judged.server.address, "POST", TEXT, &headers, &body(seed).to_string());
            assert_eq!(answer.status, 200);
        }
    }
    judged.scored();
    // Tokens of those who say their kind are counted by it.
    let page = judged.server.get("/metrics").body;
    let tokens =
        |stratum: &str| page.contains(&format!("samp_traffic_tokens_total{{stratum=\"{stratum}\"}}"));
    assert!(tokens("code") && tokens("prose") && !tokens("all"), "{page}");
    assert!(!page.contains("samp_traffic_divergence_nats"), "the plan was calibrated on no kinds");
    let strata = judged.gate().1["strata"].clone();
    let requests = |name: &str| strata[name]["requests"].as_u64();
    assert_eq!(
        (requests("code"), requests("prose"), requests("all")),
        (Some(3), Some(2), Some(1)),
        "{strata}"
    );
}

#[test]
fn a_baseline_that_takes_less_than_the_plan_and_a_broken_memory_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (small, broken) = (folder.path().join("small.plan"), folder.path().join("state.json"));
    compiled(&small, "uniform:f16", 16);
    std::fs::write(&broken, "half of a fi").unwrap();
    let own = plan();
    for (flags, code) in [
        (vec!["--baseline", small.to_str().unwrap()], "E1609"),
        (vec!["--baseline", own.to_str().unwrap(), "--state", broken.to_str().unwrap()], "E1608"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_samp-server")).arg(&own).args(&flags).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("error[{code}]")), "{flags:?}: {said}");
    }
    let ungated = Running::new(&[]);
    assert_eq!(ungated.get("/v1/samp/gate").status, 404, "not where clients ask");
}
