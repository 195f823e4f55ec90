//! The dashboard's panels show something: each is asked of a Prometheus that scrapes a server under load.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    client::ask,
    deploy::{deploy, names},
    support::{Running, plan},
};

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(deploy("grafana.json")).unwrap()).unwrap()
}

/// The expressions of all panels, by the panel's title, with Grafana's variables filled in.
fn expressions() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let of = |panel: &Value| -> Vec<(String, String)> {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().into_iter().flatten();
        let filled = |target: &Value| {
            let expression = target["expr"].as_str().unwrap();
            (title.clone(), expression.replace("$__rate_interval", "10s").replace("$model", ".*"))
        };
        targets.map(filled).collect()
    };
    panels.iter().flat_map(of).collect()
}

fn judged() -> Running {
    let plan = plan();
    Running::new(&["--baseline", plan.to_str().unwrap(), "--shadow", "100%", "--canary", "none"])
}

fn load(server: &Running, seed: usize) {
    let body = json!({ "prompt": "The parser reads", "max_tokens": 8, "ignore_eos": true, "seed": seed });
    server.answer("/v1/completions", &body);
}

#[test]
fn panels_have_titles_places_and_metrics_that_are_there() {
    let server = judged();
    load(&server, 0);
    while server.metric("samp_shadow_scored_total") < 1.0 {
        thread::sleep(Duration::from_millis(5));
    }
    let page = server.get("/metrics").body;
    let (shown, dashboard) = (names(&page), dashboard().to_string());
    let missing: Vec<&str> = names(&dashboard).difference(&shown).copied().collect();
    assert!(missing.is_empty(), "{missing:?}");
    let expressions = expressions();
    assert!(
        expressions.len() > 20 && expressions.iter().all(|(title, _)| !title.is_empty()),
        "{expressions:?}"
    );
}

/// A Prometheus that ends with the test.
struct Prometheus {
    process: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &Path, scraped: SocketAddr) -> Option<Prometheus> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = fs::read_to_string(deploy("prometheus.yml")).unwrap();
        let settings = settings
            .replace("localhost:8000", &scraped.to_string())
            .replace("scrape_interval: 5s", "scrape_interval: 1s");
        fs::write(folder.join("prometheus.yml"), settings).unwrap();
        fs::copy(deploy("alerts.yml"), folder.join("alerts.yml")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Some(Prometheus { process: process.ok()?, address: free })
    }

    /// What an expression gives now.
    fn query(&self, expression: &str) -> Vec<Value> {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let response = ask(self.address, "GET", &format!("/api/v1/query?query={escaped}"), &[], "");
        assert_eq!(response.status, 200, "{expression}: {}", response.body);
        response.json()["data"]["result"].as_array().unwrap().clone()
    }

    fn answers(&self) -> bool {
        std::net::TcpStream::connect(self.address).is_ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn every_panel_is_answered_by_a_prometheus_that_scrapes_a_server_under_load() {
    let (server, folder) = (judged(), tempfile::tempdir().unwrap());
    let Some(prometheus) = Prometheus::start(folder.path(), server.address) else {
        return eprintln!("SKIPPED: prometheus is not installed (Debian's package prometheus has it)");
    };
    let began = Instant::now();
    let waits = |what: &str| assert!(began.elapsed() < Duration::from_secs(60), "{what}");
    while !prometheus.answers() {
        waits("Prometheus does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    let expressions = expressions();
    let mut unanswered: Vec<&(String, String)> = expressions.iter().collect();
    for seed in 0.. {
        load(&server, seed);
        if seed % 20 == 0 {
            unanswered.retain(|(_, expression)| prometheus.query(expression).is_empty());
            if unanswered.is_empty() {
                break;
            }
            waits(&format!("{unanswered:?}"));
            thread::sleep(Duration::from_millis(200));
        }
    }
    let up = prometheus.query("up{job=\"samp\"}");
    assert_eq!(up[0]["value"][1], json!("1"));
}
