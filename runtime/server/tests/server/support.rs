//! Servers of the shipped checkpoint, on threads of the test's own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use clap::Parser;
use samp_abi::TargetName;
use samp_compiler::{CompileRequest, Precision, compile, lower::recipe};
use samp_runtime::Silent;
use samp_server::{Args, ServeError, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::client::{Response, ask};

/// Sequences that the plan takes at a time.
pub const SEQUENCES: usize = 128;

/// The plan, compiled once for all tests of a process.
pub fn plan() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        compiled(&folder.path().join("tiny.plan"), "samp", SEQUENCES);
        folder
    });
    folder.path().join("tiny.plan")
}

/// The folder of the shipped checkpoint.
pub fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models/tiny-llama")
}

/// Compiles the shipped checkpoint by a recipe, for so many sequences.
pub fn compiled(plan: &Path, recipe: &str, sequences: usize) {
    compiled_from(&checkpoint(), plan, recipe, sequences);
}

/// Compiles a checkpoint likewise.
pub fn compiled_from(model: &Path, plan: &Path, recipe: &str, sequences: usize) {
    let precision = Precision::Recipe(recipe::load(recipe).unwrap());
    let mut request = CompileRequest::new(model, TargetName::Cpu, precision);
    request.max_sequences = sequences as u64;
    compile(&request.into_plan(plan), &Silent).unwrap();
}

/// A server at a free port, ended when it is let go.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Running {
    /// A server of the plan with these flags.
    pub fn new(flags: &[&str]) -> Running {
        Running::of(&plan(), flags)
    }

    /// A server of another plan.
    pub fn of(plan: &Path, flags: &[&str]) -> Running {
        let line = [&["samp-server", plan.to_str().unwrap(), "--port", "0"], flags].concat();
        let options = Args::try_parse_from(line).unwrap().into_options();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let server = Server::start(options).await?;
                tell.send(server.address().unwrap()).unwrap();
                server.run(async { drop(stopped.await) }).await
            })
        });
        let address = told.recv().expect("the server starts");
        Running { address, stop: Some(stop), thread: Some(thread) }
    }

    pub fn get(&self, path: &str) -> Response {
        ask(self.address, "GET", path, &[], "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        ask(self.address, "POST", path, &[], &body.to_string())
    }

    /// A generation that is answered.
    pub fn answer(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body);
        assert_eq!(response.status, 200, "{}", response.body);
        response.json()
    }

    /// The sum of all samples of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let named = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        };
        let values = text.lines().filter(named).map(|line| line.rsplit(' ').next().unwrap());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Waits until nothing runs and nothing waits any more; gives the time that it took.
    pub fn idle(&self) -> Duration {
        let began = Instant::now();
        let busy = ["samp_requests_waiting", "samp_requests_running", "vllm:kv_cache_usage_perc"];
        while busy.iter().any(|name| self.metric(name) > 0.0) {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "it stays busy: {}",
                self.get("/metrics").body
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        began.elapsed()
    }

    /// Tells it to end, without waiting for that.
    pub fn tell_to_end(&mut self) {
        drop(self.stop.take());
    }

    /// Tells it to end, and waits until it has.
    pub fn end(mut self) -> Result<(), ServeError> {
        self.tell_to_end();
        self.thread.take().expect("it runs").join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tell_to_end();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

/// The whole of a metric's accounts: received, and the sum of all that a request can be.
pub fn accounts(server: &Running) -> (f64, f64) {
    let parts = ["samp_requests_waiting", "samp_requests_running", "samp_requests_total"];
    (server.metric("samp_requests_received_total"), parts.iter().map(|name| server.metric(name)).sum())
}
