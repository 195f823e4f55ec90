//! One request, and what its client saw.

use axum::{
    body::BodyDataStream,
    http::{Method, StatusCode},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{ClientError, Endpoint};

/// What the client of a request saw; times in seconds.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When it was to be sent, after the start of the test.
    pub intended: f64,
    /// From then to the first text.
    pub to_first: Option<f64>,
    /// Between texts.
    pub between: Vec<f64>,
    /// From then to the end.
    pub latency: f64,
    /// Tokens of the prompt, as the server counts them.
    pub prompt_tokens: u64,
    /// Tokens of the answer, as the server counts them.
    pub tokens: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

impl Seen {
    /// Seconds a token after the first.
    pub fn per_token(&self) -> Option<f64> {
        let after_first = self.latency - self.to_first?;
        (self.tokens > 1).then(|| after_first / (self.tokens - 1) as f64)
    }
}

/// Sends a prompt and reads the answer as it comes. `start` is when the test began.
pub async fn send(endpoint: &Endpoint, body: Value, intended: f64, start: Instant) -> Seen {
    let mut seen = Seen { intended, ..Seen::default() };
    let read = read(endpoint, body, &mut seen, start).await;
    seen.latency = start.elapsed().as_secs_f64() - intended;
    if let Err(error) = read {
        seen.error = Some(error.to_string());
    }
    seen
}

/// The body of a request.
pub fn body(model: Option<&str>, prompt: &str, tokens: u32, seed: u64) -> Value {
    let mut body = json!({
        "prompt": prompt, "max_tokens": tokens, "stream": true, "stream_options": { "include_usage": true },
        "ignore_eos": true, "seed": seed,
    });
    if let Some(model) = model {
        body["model"] = json!(model);
    }
    body
}

async fn read(endpoint: &Endpoint, body: Value, seen: &mut Seen, start: Instant) -> Result<(), ClientError> {
    let response = endpoint.ask(Method::POST, "/v1/completions", body.to_string()).await?;
    let status = response.status();
    let mut chunks = response.into_body().into_data_stream();
    let (mut rest, mut last): (Vec<u8>, Option<f64>) = Default::default();
    while let Some(chunk) = next(&mut chunks).await {
        rest.extend(chunk.map_err(|error| ClientError::Broken(error.to_string()))?);
        if status != StatusCode::OK {
            continue;
        }
        let now = start.elapsed().as_secs_f64();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            event(&line, now, seen, &mut last)?;
        }
    }
    match (status, seen.to_first) {
        (StatusCode::OK, Some(_)) => Ok(()),
        (StatusCode::OK, None) => Err(ClientError::Broken("no text came".into())),
        _ => {
            let said = String::from_utf8_lossy(&rest).chars().take(200).collect();
            Err(ClientError::Refused { status: status.as_u16(), said })
        }
    }
}

async fn next(chunks: &mut BodyDataStream) -> Option<Result<Bytes, axum::Error>> {
    use http_body::Body as _;
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *chunks).poll_frame(context))
        .await
        .map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// Reads a line of the stream.
fn event(line: &[u8], now: f64, seen: &mut Seen, last: &mut Option<f64>) -> Result<(), ClientError> {
    let Some(data) = line.strip_prefix(b"data: ").filter(|data| !data.starts_with(b"[DONE]")) else {
        return Ok(());
    };
    let event: Value =
        serde_json::from_slice(data).map_err(|error| ClientError::NoJson(error.to_string()))?;
    if let Some(error) = event.get("error") {
        return Err(ClientError::Broken(error["message"].to_string()));
    }
    if let Some(count) = event["usage"]["completion_tokens"].as_u64() {
        seen.tokens = count;
        seen.prompt_tokens = event["usage"]["prompt_tokens"].as_u64().unwrap_or(0);
    }
    if event["choices"].as_array().is_some_and(|choices| !choices.is_empty()) {
        match last.replace(now) {
            None => seen.to_first = Some(now - seen.intended),
            Some(before) => seen.between.push(now - before),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_that_the_server_counts() {
        let (mut seen, mut last) = (Seen { intended: 1.0, ..Seen::default() }, None);
        for (line, now) in [
            ("data: {\"choices\": [{\"text\": \"a b c\"}]}\n", 1.5),
            (": a comment\n", 1.6),
            ("\n", 1.6),
            ("data: {\"choices\": [{\"text\": \"d\"}], \"usage\": null}\n", 1.75),
            ("data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 9, \"completion_tokens\": 5}}\n", 1.75),
            ("data: [DONE]\n", 1.8),
        ] {
            event(line.as_bytes(), now, &mut seen, &mut last).unwrap();
        }
        seen.latency = 1.0;
        assert_eq!((seen.to_first, seen.between.clone(), seen.tokens), (Some(0.5), vec![0.25], 5));
        assert_eq!(seen.per_token(), Some(0.125));
        assert!(event(b"data: {\"choices\"\n", 2.0, &mut seen, &mut last).is_err());
        assert!(event(b"data: {\"error\": {\"message\": \"x\"}}\n", 2.0, &mut seen, &mut last).is_err());
    }
}
