//! What `deploy` asks Prometheus for is what a server shows.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

use crate::support::{Running, plan};

fn deploy(name: &str) -> PathBuf {
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
fn names(text: &str) -> BTreeSet<&str> {
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
    for (what, file) in [("check", "alerts.yml"), ("test", "alerts.test.yml")] {
        let output = Command::new("promtool").args([what, "rules"]).arg(deploy(file)).output().unwrap();
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
