//! The test itself: requests are sent when they are due, and gathered.

use std::{
    io::{IsTerminal, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::http::Method;
use samp_kernels::random::SplitMix64;
use samp_runtime::outside_file::read_regular_text;
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    args::BenchArgs,
    arrivals::arrivals,
    html,
    report::{result, table},
    request::{Seen, body, send},
};
use crate::error::ServeError;

/// Words that prompts consist of.
const WORDS: [&str; 16] = [
    "river", "stone", "reads", "the", "of", "a", "seven", "green", "parser", "walks", "under", "light",
    "and", "table", "north", "quick",
];
/// How long the server may take to name its models.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a result.
const MAX_RESULT: u64 = 1 << 20;

/// Does what is asked for and prints the result; whether every request was answered.
pub async fn run(args: BenchArgs) -> Result<bool, ServeError> {
    if !args.compare.is_empty() {
        let results = args.compare.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        print!("{}", table(&results));
        return Ok(true);
    }
    let args = Arc::new(with_model(args).await?);
    let start = Instant::now();
    let seen = load(&args, start).await;
    let result = result(&args, &seen, start.elapsed().as_secs_f64());
    if let Some(path) = &args.html {
        let page = html::page(&result, &seen);
        std::fs::write(path, page).map_err(|error| bench(format!("{}: {error}", path.display())))?;
    }
    match args.json {
        true => println!("{result}"),
        false => print!("{}", table(std::slice::from_ref(&result))),
    }
    for error in result["errors"].as_array().into_iter().flatten() {
        eprintln!("failed: {error}");
    }
    Ok(seen.iter().all(|seen| seen.error.is_none()))
}

fn bench(reason: impl Into<String>) -> ServeError {
    ServeError::Bench { reason: reason.into() }
}

fn read(path: &Path) -> Result<Value, ServeError> {
    let wrong = |reason: String| bench(format!("{}: {reason}", path.display()));
    let text = read_regular_text(path, MAX_RESULT).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("expected a result of --json: {error}")))
}

/// Asks the server what it serves, which shows as well that it is there.
async fn with_model(args: BenchArgs) -> Result<BenchArgs, ServeError> {
    let key = args.api_key.clone().or_else(|| std::env::var("OPENAI_API_KEY").ok());
    let endpoint = args.base_url.clone().with_key(key);
    let models = endpoint.json(Method::GET, "/v1/models", None, PATIENCE).await;
    let models = models.map_err(|error| bench(format!("{}: {error}", endpoint.shown())))?;
    let first = models["data"][0]["id"].as_str().map(str::to_owned);
    Ok(BenchArgs { base_url: endpoint, model: args.model.clone().or(first), ..args })
}

/// The prompt and the seed of a request.
fn prompt(args: &BenchArgs, request: u64) -> String {
    let mut random = SplitMix64::new(args.seed.wrapping_mul(1 << 20).wrapping_add(request));
    let words: Vec<&str> = (0..args.input_words).map(|_| WORDS[random.below(WORDS.len())]).collect();
    words.join(" ")
}

/// Sends all requests, each when it is due, with no more at a time than may be.
async fn load(args: &Arc<BenchArgs>, start: Instant) -> Vec<Seen> {
    let places = Arc::new(Semaphore::new(args.max_concurrency as usize));
    let due = args.request_rate.map(|rate| {
        let count =
            args.duration.map_or(args.num_prompts as usize, |seconds| (seconds * rate).ceil() as usize);
        arrivals(count.max(1), rate, args.burstiness, args.seed)
    });
    let (mut running, mut seen) = (JoinSet::new(), vec![]);
    for request in 0u64.. {
        let intended = match &due {
            Some(due) => match due.get(request as usize) {
                Some(at) => {
                    sleep_until(start + Duration::from_secs_f64(*at)).await;
                    *at
                }
                None => break,
            },
            None => {
                let over = |seconds| start.elapsed().as_secs_f64() >= seconds;
                if args.duration.map_or(request >= u64::from(args.num_prompts), over) {
                    break;
                }
                // A client sends its next request when the one before has been answered.
                let free = places.acquire().await;
                drop(free);
                start.elapsed().as_secs_f64()
            }
        };
        let (args, places) = (args.clone(), places.clone());
        let held = if due.is_none() { places.clone().acquire_owned().await.ok() } else { None };
        running.spawn(async move {
            let _held = match held {
                Some(held) => Some(held),
                None => places.acquire_owned().await.ok(),
            };
            let body = body(args.model.as_deref(), &prompt(&args, request), args.output_len, request);
            send(&args.base_url, body, intended, start).await
        });
        while let Some(Ok(one)) = running.try_join_next() {
            seen.push(one);
            progress(seen.len());
        }
    }
    while let Some(one) = running.join_next().await {
        seen.extend(one);
        progress(seen.len());
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    seen
}

/// How many were answered, where someone watches.
fn progress(done: usize) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // Nobody misses it.
        let _ = write!(stderr, "\r{done} answered");
    }
}
