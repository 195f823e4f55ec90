//! Whom the plan is compared with: a baseline in this process, or a teacher that is asked.

use std::time::Duration;

use axum::http::Method;
use samp_runtime::{Engine, EngineError, Outputs};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{coarse::coarse_divergence, divergence::divergence, shadow::Served};
use crate::client::{ClientError, Endpoint};

/// Tokens that a teacher names of each position.
const NAMED: usize = 20;
/// How long a teacher may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom the plan is compared with.
pub enum Reference {
    /// A baseline, in an engine that nobody else uses.
    Engine(Box<Engine>),
    /// A server of the unquantized model that gives `prompt_logprobs`, as vLLM and samp do.
    Teacher(Teacher),
}

/// A server that is asked.
pub struct Teacher {
    endpoint: Endpoint,
    runtime: Runtime,
}

/// Why an answer is not scored.
#[derive(Debug, thiserror::Error)]
pub enum NotScored {
    /// The baseline failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The teacher did.
    #[error("the teacher {0}")]
    Teacher(#[from] ClientError),
    /// What it said is no answer.
    #[error(
        "the teacher gave no prompt_logprobs for each of the tokens; it must be a server of the same model that does"
    )]
    NoLogprobs,
    /// Logits are no numbers.
    #[error("logits are no numbers")]
    NoNumbers,
}

impl Teacher {
    /// The server of an endpoint.
    pub fn new(endpoint: Endpoint) -> std::io::Result<Teacher> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Teacher { endpoint, runtime })
    }

    /// What it says of the token after each of these positions: the likeliest with their log-probabilities.
    fn predictions(&self, tokens: &[u32], positions: &[usize]) -> Result<Vec<Vec<(u32, f32)>>, NotScored> {
        // The prediction after the last position is that of one token more, whichever it is.
        let prompt: Vec<u32> = tokens.iter().chain(tokens.last()).copied().collect();
        let body = json!({ "prompt": prompt, "max_tokens": 1, "temperature": 0, "prompt_logprobs": NAMED });
        let asked = self.endpoint.json(Method::POST, "/v1/completions", Some(&body), PATIENCE);
        let answer = self.runtime.block_on(asked)?;
        let rows = answer["choices"][0]["prompt_logprobs"].as_array().ok_or(NotScored::NoLogprobs)?;
        let row = |position: &usize| rows.get(position + 1).and_then(named).ok_or(NotScored::NoLogprobs);
        positions.iter().map(row).collect()
    }
}

/// The tokens of an entry of `prompt_logprobs`, with their log-probabilities.
fn named(row: &Value) -> Option<Vec<(u32, f32)>> {
    let entry =
        |(token, said): (&String, &Value)| Some((token.parse().ok()?, said["logprob"].as_f64()? as f32));
    row.as_object()?.iter().map(entry).collect()
}

impl Reference {
    /// The mean divergence of the plan's predictions at the kept positions of an answer, in nats.
    pub fn mean_divergence(&mut self, served: &Served) -> Result<f64, NotScored> {
        let positions: Vec<usize> = served.rows.iter().map(|(position, _)| *position).collect();
        let plan = served.rows.iter().map(|(_, logits)| logits.as_slice());
        let each: Option<Vec<f64>> = match self {
            Reference::Engine(engine) => {
                let sequence = engine.create()?;
                let logits = engine.append_tokens(sequence, &served.tokens, Outputs::At(&positions));
                engine.release(sequence);
                let logits = logits?;
                logits.rows().zip(plan).map(|(baseline, plan)| divergence(baseline, plan)).collect()
            }
            Reference::Teacher(teacher) => {
                let said = teacher.predictions(&served.tokens, &positions)?;
                said.iter().zip(plan).map(|(baseline, plan)| coarse_divergence(baseline, plan)).collect()
            }
        };
        let each = each.ok_or(NotScored::NoNumbers)?;
        Ok(each.iter().sum::<f64>() / each.len() as f64)
    }
}
