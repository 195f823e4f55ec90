//! The command line.

use std::{path::PathBuf, time::Duration};

use samp_runtime::DeviceKind;

use crate::{client::Endpoint, tools::ToolStyle};

/// Serve a plan over OpenAI's API
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "samp-server", bin_name = "samp serve", version, max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    options: Options,
}

impl Args {
    /// What was asked for.
    pub fn into_options(self) -> Options {
        self.options
    }
}

/// What a server is asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The plan's folder
    pub plan: PathBuf,
    /// Address to listen at; 0.0.0.0 for all of the machine's
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", help_heading = "Network")]
    pub host: String,
    /// Port to listen at; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8000, help_heading = "Network")]
    pub port: u16,
    /// A key that clients must show, beside that in SAMP_API_KEY; may be repeated. Others see it in the list of processes
    #[arg(long, value_name = "KEY", help_heading = "Network")]
    pub api_key: Vec<String>,
    /// A file with a key on each line
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub api_key_file: Option<PathBuf>,
    /// Bytes of a request's body
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, help_heading = "Network")]
    pub max_body_bytes: usize,
    /// Seconds that a client has for the headers of a request
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, help_heading = "Network")]
    pub header_timeout: Duration,
    /// Seconds that a client has for the body of a request
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, help_heading = "Network")]
    pub body_timeout: Duration,
    /// Seconds that requests on their way have to end when the server is told to
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, help_heading = "Network")]
    pub shutdown_timeout: Duration,
    /// Name that the plan is served under; may be repeated [default: the folder's, without .plan]
    #[arg(long, value_name = "NAME", help_heading = "Serving")]
    pub served_model_name: Vec<String>,
    /// Positions of a sequence [default: the plan's]
    #[arg(long, value_name = "N", help_heading = "Serving")]
    pub max_model_len: Option<usize>,
    /// Sequences in the engine at a time [default: the plan's]
    #[arg(long, value_name = "N", help_heading = "Serving")]
    pub max_num_seqs: Option<usize>,
    /// Tokens of a step [default: the plan's]
    #[arg(long, value_name = "N", help_heading = "Serving")]
    pub max_num_batched_tokens: Option<usize>,
    /// Tokens of prompts in a step that others decode in [default: as many as a step has]
    #[arg(long, value_name = "N", help_heading = "Serving")]
    pub long_prefill_token_threshold: Option<usize>,
    /// Requests that may wait; more are refused
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = "Serving")]
    pub max_num_queued_reqs: usize,
    /// Tokens of prompts that may wait; a request alone always may
    #[arg(long, value_name = "N", default_value_t = 1 << 20, help_heading = "Serving")]
    pub max_num_queued_tokens: usize,
    /// Compute the beginnings that prompts share once each
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", help_heading = "Serving")]
    pub enable_prefix_caching: bool,
    /// How the model calls tools: hermes, llama3_json, mistral or mistral_args [default: as its chat template does]
    #[arg(long, value_name = "STYLE", value_parser = tool_style, help_heading = "Serving")]
    pub tool_call_parser: Option<ToolStyle>,
    /// A plan of the same checkpoint, in f16, that answers are scored against and that takes over where they have come to differ
    #[arg(long, value_name = "PLAN", group = "reference", help_heading = "Judge")]
    pub baseline: Option<PathBuf>,
    /// A server of the unquantized model that answers are scored against, such as vLLM's; it takes over from nobody
    #[arg(long, value_name = "URL", group = "reference", value_parser = Endpoint::parse, help_heading = "Judge")]
    pub teacher: Option<Endpoint>,
    /// Part of the plan's answers that is scored
    #[arg(long, value_name = "PART", default_value = "5%", value_parser = part, requires = "reference", help_heading = "Judge")]
    pub shadow: f64,
    /// Growth of perplexity, on the baseline's own text, that the plan may have
    #[arg(long, value_name = "PART", default_value = "0.5%", value_parser = part, requires = "reference", help_heading = "Judge")]
    pub drift_limit: f64,
    /// Parts of the requests that the plan answers step by step, before all; `none` begins with all
    #[arg(long, value_name = "PARTS", default_value = "1%,5%,25%", value_parser = canary, requires = "reference", help_heading = "Judge")]
    pub canary: Canary,
    /// Seconds that a plan rests after it was rolled back, before a new canary at half the limit
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = seconds, requires = "reference", help_heading = "Judge")]
    pub rollback_hold: Duration,
    /// File that the judge remembers in over restarts
    #[arg(long, value_name = "FILE", requires = "reference", help_heading = "Judge")]
    pub state: Option<PathBuf>,
    /// Threads that score answers
    #[arg(long, value_name = "N", default_value_t = 1, requires = "reference", help_heading = "Judge")]
    pub shadow_threads: usize,
    /// Port, on this machine alone, of /v1/samp/gate, /promote and /rollback; 0 for any that is free
    #[arg(long, value_name = "PORT", help_heading = "Judge")]
    pub admin_port: Option<u16>,
    /// Part of the plan's answers whose log-probabilities are computed again; on a CPU they must agree bit for bit
    #[arg(long, value_name = "PART", default_value = "0.5%", value_parser = share, help_heading = "Judge")]
    pub rescore: f64,
    /// Seconds from one run of the plan's golden probe to the next; 0 for none
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds, help_heading = "Judge")]
    pub golden_interval: Duration,
    /// Positions that the KV cache holds over all sequences [default: as many as the plan's limits allow and fit]
    #[arg(long, value_name = "N", help_heading = "Device")]
    pub kv_tokens: Option<u64>,
    /// Where to execute [default: what the plan is for]
    #[arg(long, value_name = "DEVICE", value_parser = device, help_heading = "Device")]
    pub device: Option<DeviceKind>,
    /// Part of a GPU's memory that may be used in all
    #[arg(long, value_name = "PART", default_value_t = 0.9, help_heading = "Device")]
    pub gpu_memory_utilization: f64,
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", help_heading = "Device")]
    pub threads: Option<usize>,
    /// The digest that the plan must have
    #[arg(long, value_name = "DIGEST", help_heading = "Device")]
    pub digest: Option<String>,
}

/// The steps of a canary.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary(pub Vec<f64>);

fn part(text: &str) -> Result<f64, String> {
    let part = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    part.ok()
        .filter(|part| *part > 0.0 && *part <= 1.0)
        .ok_or_else(|| "expected a part such as 5% or 0.05".into())
}

/// A part, or none.
fn share(text: &str) -> Result<f64, String> {
    if matches!(text, "0" | "0%") { Ok(0.0) } else { part(text) }
}

fn canary(text: &str) -> Result<Canary, String> {
    match text {
        "none" => Ok(Canary(vec![])),
        text => text.split(',').map(part).collect::<Result<_, _>>().map(Canary),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..1e6).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds from 0 on".into())
}

fn tool_style(name: &str) -> Result<ToolStyle, String> {
    let found = ToolStyle::ALL.into_iter().find(|style| style.name() == name);
    found.ok_or_else(|| format!("expected one of {}", ToolStyle::ALL.map(ToolStyle::name).join(", ")))
}

fn device(name: &str) -> Result<DeviceKind, String> {
    let names = DeviceKind::ALL.map(DeviceKind::name);
    let found = DeviceKind::ALL.into_iter().find(|device| device.name() == name);
    found.ok_or_else(|| format!("expected one of {}", names.join(", ")))
}
