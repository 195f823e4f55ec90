//! The pages that generate: a request is read, prepared off the network's threads, queued, and answered whole or as it comes.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    answer::{Answer, AnswerHead, Echo},
    app::App,
    choice::{AnswerKind, Choice},
    response::{error_response, json_response},
    routes::Route,
    stream::EventStream,
    tool_calls::ToolCalls,
};
use crate::{
    api::{ApiError, ChatRequest, CompletionRequest, ErrorKind, Settings},
    constrain::{FormState, form_expression},
    engine::{Event, Job, JobOptions},
    front::ChatPrompt,
    judge::ShadowSample,
    observe::{Outcome, QueueFull, Ticket},
    tools::ToolUse,
    verify::LogprobRecord,
};

/// The kind of requests whose clients say none.
const NO_STRATUM: &str = "all";

/// What a request becomes: its answer before the first token, and the jobs of each prompt, still without anyone to tell.
struct Prepared {
    head: AnswerHead,
    choices: Vec<Choice>,
    prompts: Vec<Vec<Unheard>>,
    route: Route,
}

/// A job before it is known who is told.
struct Unheard {
    choice: usize,
    completion: samp_runtime::Completion<Arc<samp_runtime::Tokenizer>>,
    options: JobOptions,
    form: Option<FormState>,
}

/// `/v1/chat/completions`.
pub async fn chat(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    respond(app, headers, body, |app, body, id| {
        let mut request = ChatRequest::parse(body)?;
        let ChatPrompt { tokens, tools, form } = app.front.chat(&mut request)?;
        Draft {
            kind: AnswerKind::Chat,
            id: format!("chatcmpl-{id}"),
            settings: &request.settings,
            form,
            tools,
            prompts: vec![tokens],
            max_tokens: request.max_tokens,
            logprobs: request.logprobs,
            prompt_logprobs: None,
            echo: false,
            token_ids: false,
        }
        .prepare(app)
    })
    .await
}

/// `/v1/completions`.
pub async fn completions(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    respond(app, headers, body, |app, body, id| {
        let request = CompletionRequest::parse(body)?;
        let tokens = |prompt| app.front.prompt_tokens(prompt, request.add_special_tokens);
        Draft {
            kind: AnswerKind::Text,
            id: format!("cmpl-{id}"),
            settings: &request.settings,
            form: request.settings.form.as_ref().map(form_expression).transpose()?,
            tools: None,
            prompts: request.prompts.iter().map(tokens).collect::<Result<_, _>>()?,
            max_tokens: Some(request.max_tokens),
            logprobs: request.logprobs,
            prompt_logprobs: request.prompt_logprobs,
            echo: request.echo,
            token_ids: request.return_token_ids,
        }
        .prepare(app)
    })
    .await
}

/// A request whose prompts are tokens.
struct Draft<'a> {
    kind: AnswerKind,
    id: String,
    settings: &'a Settings,
    /// The expression of the form that answers are to have.
    form: Option<String>,
    tools: Option<ToolUse>,
    prompts: Vec<Vec<u32>>,
    max_tokens: Option<usize>,
    logprobs: Option<usize>,
    prompt_logprobs: Option<usize>,
    echo: bool,
    token_ids: bool,
}

impl Draft<'_> {
    fn prepare(self, app: &App) -> Result<Prepared, ApiError> {
        let Draft { settings, kind, logprobs, .. } = self;
        let model = app.front.model(settings.model.as_deref())?;
        let seed = settings.seed.unwrap_or_else(|| app.random());
        let scored = self.echo && logprobs.is_some();
        let options = JobOptions {
            salt: settings.cache_salt.clone().unwrap_or_default().into_bytes(),
            prompt_logprobs: self.prompt_logprobs.or(logprobs.filter(|_| scored)),
        };
        let (mut choices, mut prompts) = (vec![], vec![]);
        for prompt in &self.prompts {
            let mut jobs = vec![];
            for choice in 0..settings.n {
                let index = choices.len();
                let seed = seed.wrapping_add(choice as u64);
                let top = logprobs.unwrap_or(0);
                let completion = app.front.completion(prompt, settings, self.max_tokens, top, seed)?;
                let calls = self.tools.as_ref().map(|tools| ToolCalls::new(tools.parser(), app.random()));
                choices.push(Choice::new(index, kind, logprobs.is_some(), self.token_ids, calls));
                let form = self.form.as_ref().map(|form| app.front.form(form)).transpose()?;
                jobs.push(Unheard { choice: index, completion, options: options.clone(), form });
            }
            prompts.push(jobs);
        }
        let echo = |tokens: &Vec<u32>| {
            let text = app.front.detokenize_plain(tokens)?;
            Ok(Echo { tokens: tokens.clone(), text, scored })
        };
        let echoes =
            if self.echo { self.prompts.iter().map(echo).collect::<Result<_, ApiError>>()? } else { vec![] };
        let scored_prompts = self.prompt_logprobs.map(|_| self.prompts.clone()).unwrap_or_default();
        let route = app.routes.choose(app.chance(), app.chance());
        let head = AnswerHead {
            kind,
            fingerprint: route.fingerprint.clone(),
            id: self.id,
            created: crate::clock::now(),
            model,
            streaming: settings.streaming,
            stratum: None,
            prompt_tokens: self.prompts.iter().map(Vec::len).sum(),
            choices_of_prompt: settings.n,
            echoes,
            scored_prompts,
        };
        Ok(Prepared { head, choices, prompts, route })
    }
}

/// Reads, prepares, queues and answers a request, and keeps its account.
async fn respond(
    app: Arc<App>,
    headers: HeaderMap,
    body: Body,
    prepare: impl FnOnce(&App, &[u8], &str) -> Result<Prepared, ApiError> + Send + 'static,
) -> Response {
    let ticket = Arc::new(Ticket::new(&app.observed, app.request_id(&headers)));
    let mut response = match answer(&app, &ticket, &headers, body, prepare).await {
        Ok(response) => response,
        Err(error) => {
            ticket.end(match error.kind {
                ErrorKind::Full | ErrorKind::Unavailable => Outcome::Refused,
                ErrorKind::Failed => Outcome::Failed,
                _ => Outcome::Invalid,
            });
            ticket.summarize(|summary| summary.status = error.kind.status());
            error_response(&error)
        }
    };
    if let Ok(id) = HeaderValue::from_str(ticket.request_id()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

async fn answer(
    app: &Arc<App>,
    ticket: &Arc<Ticket>,
    headers: &HeaderMap,
    body: Body,
    prepare: impl FnOnce(&App, &[u8], &str) -> Result<Prepared, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    app.keys.check(headers)?;
    if app.is_draining() {
        let message = "the server is ending; ask another one";
        let error = ApiError::new(ErrorKind::Unavailable, message);
        return Err(ApiError { retry_after: Some(Duration::from_secs(1)), ..error });
    }
    let body: Bytes = app.body.read(body).await?;
    let (shared, id) = (app.clone(), ticket.request_id().to_owned());
    let prepared = tokio::task::spawn_blocking(move || prepare(&shared, &body, &id)).await;
    let broken = |_| ApiError::new(ErrorKind::Failed, "the request could not be prepared; please report it");
    let Prepared { mut head, choices, prompts, route } = prepared.map_err(broken)??;
    head.stratum = stratum(headers);
    let stratum = head.stratum.clone().unwrap_or_else(|| NO_STRATUM.to_owned());
    let tokens = head.prompt_tokens;
    ticket.summarize(|summary| {
        summary.prompt_tokens = tokens;
        summary.status = 200;
    });
    ticket.enqueue(tokens).map_err(full)?;
    let stream = head.streaming.stream;
    let answer = Answer::new(app.clone(), ticket.clone(), head, choices);
    let events = begin(app, ticket, prompts, &route, &stratum)?;
    if stream { Ok(streamed(answer, events)) } else { whole(answer, events).await }
}

/// Hands the jobs to the engine.
fn begin(
    app: &App,
    ticket: &Arc<Ticket>,
    prompts: Vec<Vec<Unheard>>,
    route: &Route,
    stratum: &str,
) -> Result<UnboundedReceiver<Event>, ApiError> {
    let (sender, events) = unbounded_channel();
    for jobs in prompts {
        let heard = |job: Unheard| {
            let Unheard { choice, completion, options, form } = job;
            let sample = || ShadowSample::new(stratum.to_owned(), app.random());
            let shadow = route.scored.then(sample);
            let verify = route.is_plan && app.verifier.samples(app.chance());
            let verify = verify.then(LogprobRecord::default);
            let (events, ticket) = (sender.clone(), Some(ticket.clone()));
            Job { choice, completion, options, form, shadow, verify, events, ticket }
        };
        let begun = route.engine.begin(jobs.into_iter().map(heard).collect());
        begun.map_err(|gone| ApiError::new(ErrorKind::Failed, gone.to_string()))?;
    }
    Ok(events)
}

/// What kind of request it is, as its client says: a plain word.
fn stratum(headers: &HeaderMap) -> Option<String> {
    let said = headers.get("x-samp-stratum").and_then(|value| value.to_str().ok());
    let plain = |name: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=32).contains(&name.len()) && name.chars().all(plain)
    };
    said.filter(plain).map(str::to_owned)
}

fn streamed(answer: Answer, events: UnboundedReceiver<Event>) -> Response {
    let mut response = Response::new(Body::new(EventStream::new(answer, events)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that gather a response before they pass it on are told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

async fn whole(mut answer: Answer, mut events: UnboundedReceiver<Event>) -> Result<Response, ApiError> {
    while !answer.is_done() {
        match events.recv().await {
            Some(event) => answer.take(event).map(drop)?,
            None => return Err(answer.lost()),
        }
    }
    let body: Value = answer.whole();
    Ok(json_response(StatusCode::OK, &body))
}

fn full(full: QueueFull) -> ApiError {
    let QueueFull { requests, tokens, retry_after } = full;
    let message = format!(
        "{requests} requests with {tokens} prompt tokens are waiting, as many as may; try again later"
    );
    ApiError { retry_after: Some(retry_after), ..ApiError::new(ErrorKind::Full, message) }
        .with_code("queue_full")
}
