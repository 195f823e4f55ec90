//! What `deploy` asks Prometheus for is what a server shows.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Parser;
use samp_server::Args;
use serde_json::json;

use crate::support::{Running, plan};

/// A file of `deploy`.
pub fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

/// A judged server that has answered.
fn page() -> String {
    let plan = plan();
    let flags = ["--baseline", plan.to_str().unwrap(), "--shadow", "100%", "--canary", "none"];
    let server = Running::new(&flags);
    server.answer("/v1/completions", &json!({ "prompt": "a", "max_tokens": 3, "ignore_eos": true }));
    while server.metric("samp_shadow_scored_total") < 1.0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    server.get("/metrics").body
}

/// The names of samp's and vLLM's metrics that a text has.
pub fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("samp_") || word.starts_with("vllm:")).collect()
}

#[test]
fn alerts_ask_for_metrics_that_are_there() {
    let (page, alerts) = (page(), std::fs::read_to_string(deploy("alerts.yml")).unwrap());
    let (shown, asked) = (names(&page), names(&alerts));
    assert!(asked.len() > 8, "{asked:?}");
    let missing: Vec<_> = asked.difference(&shown).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Prometheus' own linter on the rules, on their tests, and on the names of samp's metrics. It does not know vLLM's way of
/// naming, which is kept for its dashboards.
#[test]
fn promtool_finds_nothing() {
    let Ok(promtool) = Command::new("promtool").arg("--version").output() else {
        return eprintln!("SKIPPED: promtool is not installed (Debian's package prometheus has it)");
    };
    assert!(promtool.status.success());
    for (verb, what, file) in [
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
        ("check", "config", "prometheus.yml"),
    ] {
        let output = Command::new("promtool").args([verb, what]).arg(deploy(file)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let page = page();
    let own: String =
        page.lines().filter(|line| line.contains("samp_")).map(|line| format!("{line}\n")).collect();
    let mut linter = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    linter.stdin.take().unwrap().write_all(own.as_bytes()).unwrap();
    let output = linter.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The flags that a file of `deploy` gives the server.
fn flags(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(deploy(file)).unwrap();
    let quoted = text.split('"').skip(1).step_by(2);
    quoted.filter(|word| word.starts_with("--") && !word.contains("config.file")).map(str::to_owned).collect()
}

#[test]
fn what_starts_a_server_gives_it_flags_that_it_has() {
    for (file, least) in [("kubernetes.yml", 4), ("docker-compose.yml", 2), ("Containerfile", 1)] {
        let mut line = vec!["samp-server".to_owned(), "/plan".to_owned()];
        line.extend(flags(file).into_iter().filter(|flag| !flag.starts_with("--storage")));
        assert!(line.len() >= 2 + least, "{file}: {line:?}");
        Args::try_parse_from(&line).unwrap_or_else(|error| panic!("{file}: {line:?}: {error}"));
    }
}

#[test]
fn the_pages_that_probes_ask_for_are_there() {
    let (server, manifest) = (Running::new(&[]), std::fs::read_to_string(deploy("kubernetes.yml")).unwrap());
    let probes: Vec<&str> =
        manifest.split("httpGet: { path: ").skip(1).map(|rest| rest.split(',').next().unwrap()).collect();
    assert_eq!(probes.len(), 3);
    for path in probes.into_iter().chain(["/metrics"]) {
        assert!(manifest.contains(path) && server.get(path).status == 200, "{path}");
    }
}

/// Two servers of one plan, asked in turns: whichever answers, a request's text is the same.
#[test]
fn replicas_answer_alike() {
    let replicas = [Running::new(&[]), Running::new(&[])];
    for seed in 0..12 {
        let body =
            json!({ "prompt": "The parser reads", "max_tokens": 12, "seed": seed % 4, "temperature": 1 });
        let [here, there] = [0, 1].map(|turn| {
            let answer = replicas[(seed + turn) % 2].answer("/v1/completions", &body);
            (answer["choices"].clone(), answer["system_fingerprint"].clone())
        });
        assert_eq!(here, there);
    }
    replicas.iter().for_each(|replica| assert_eq!(replica.metric("samp_requests_received_total"), 12.0));
}
