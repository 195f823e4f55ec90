//! The other pages, and which page is where.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    app::App,
    generate,
    openapi::document,
    response::{error_response, json_response},
};
use crate::api::{ApiError, DetokenizeRequest, ErrorKind, TokenizeInput, TokenizeRequest};

/// All pages. Those below `/v1` and those that take texts ask for a key; a page of health never does.
pub fn router(app: Arc<App>) -> Router {
    let models = Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .layer(from_fn_with_state(app.clone(), with_key));
    Router::new()
        .route("/v1/chat/completions", post(generate::chat))
        .route("/v1/completions", post(generate::completions))
        .merge(models)
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .route("/openapi.json", get(openapi))
        .fallback(no_page)
        .method_not_allowed_fallback(no_method)
        .with_state(app)
}

fn answered(answer: Result<Value, ApiError>) -> Response {
    match answer {
        Ok(body) => json_response(StatusCode::OK, &body),
        Err(error) => error_response(&error),
    }
}

async fn with_key(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.keys.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error_response(&error),
    }
}

fn card(app: &App, name: &str) -> Value {
    json!({
        "id": name,
        "object": "model",
        "created": app.started,
        "owned_by": "samp",
        "root": app.front.names()[0],
        "max_model_len": app.front.max_model_len(),
    })
}

async fn models(State(app): State<Arc<App>>) -> Response {
    let cards: Vec<Value> = app.front.names().iter().map(|name| card(&app, name)).collect();
    json_response(StatusCode::OK, &json!({ "object": "list", "data": cards }))
}

async fn model(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    answered(app.front.model(Some(&name)).map(|name| card(&app, &name)))
}

async fn tokenize(State(app): State<Arc<App>>, body: Body) -> Response {
    answered(tokens(&app, body).await)
}

async fn tokens(app: &Arc<App>, body: Body) -> Result<Value, ApiError> {
    let request = TokenizeRequest::parse(&app.body.read(body).await?)?;
    app.front.model(request.model.as_deref())?;
    let front = app.clone();
    let tokens = blocking(move || match &request.input {
        TokenizeInput::Text(text, special) => front.front.text_tokens(text, *special),
        TokenizeInput::Messages(messages, tools) => front.front.chat_tokens(messages, tools.as_ref()),
    });
    let tokens = tokens.await?;
    Ok(json!({ "count": tokens.len(), "max_model_len": app.front.max_model_len(), "tokens": tokens }))
}

async fn detokenize(State(app): State<Arc<App>>, body: Body) -> Response {
    answered(text(&app, body).await)
}

async fn text(app: &Arc<App>, body: Body) -> Result<Value, ApiError> {
    let request = DetokenizeRequest::parse(&app.body.read(body).await?)?;
    app.front.model(request.model.as_deref())?;
    let front = app.clone();
    let prompt = blocking(move || front.front.detokenize(&request.tokens)).await?;
    Ok(json!({ "prompt": prompt }))
}

/// Work that would keep the network's threads from others.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let broken = |_| ApiError::new(ErrorKind::Failed, "the request could not be prepared; please report it");
    tokio::task::spawn_blocking(work).await.map_err(broken)?
}

/// Whether the process lives.
async fn health() -> Response {
    Response::new(Body::empty())
}

/// Whether requests may be sent here.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let ready = app.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_response(status, &json!({ "ready": ready, "model": app.front.names()[0] }))
}

async fn version(State(app): State<Arc<App>>) -> Response {
    let body = json!({ "version": env!("CARGO_PKG_VERSION"), "plan": app.front.fingerprint() });
    json_response(StatusCode::OK, &body)
}

async fn openapi() -> Response {
    json_response(StatusCode::OK, &document())
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut response = Response::new(Body::from(app.observed.exposition()));
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

async fn no_page(headers: HeaderMap, request: Request) -> Response {
    let _ = headers;
    let message = format!("there is no page {}", request.uri().path());
    error_response(&ApiError::new(ErrorKind::NotFound, message))
}

async fn no_method(request: Request) -> Response {
    let message = format!("{} does not take {}", request.uri().path(), request.method());
    error_response(&ApiError::new(ErrorKind::Method, message))
}
