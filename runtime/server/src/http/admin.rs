//! Pages for operators and for those who roll out: what the judge says, and what it is told.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};

use super::{
    app::App,
    response::{error_response, json_response},
};
use crate::api::{ApiError, ErrorKind};

/// The pages, which belong at an address of their own: whoever may ask them may stop the plan.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/samp/gate", get(gate))
        .route("/v1/samp/promote", post(promote))
        .route("/v1/samp/rollback", post(roll_back))
        .with_state(app)
}

/// 200 where the plan may be trusted, 412 where not, as Flagger and Argo Rollouts ask.
async fn gate(State(app): State<Arc<App>>) -> Response {
    let Some(judge) = app.routes.judge() else { return no_judge() };
    let (open, said) = judge.gate();
    json_response(if open { StatusCode::OK } else { StatusCode::PRECONDITION_FAILED }, &said)
}

async fn promote(State(app): State<Arc<App>>) -> Response {
    let Some(judge) = app.routes.judge() else { return no_judge() };
    judge.promote();
    json_response(StatusCode::OK, &judge.gate().1)
}

async fn roll_back(State(app): State<Arc<App>>) -> Response {
    let Some(judge) = app.routes.judge() else { return no_judge() };
    judge.roll_back();
    json_response(StatusCode::OK, &judge.gate().1)
}

/// Nobody judges: that is no trust.
fn no_judge() -> Response {
    let error = ApiError::new(
        ErrorKind::NotFound,
        "the plan is served without a baseline; give --baseline PLAN or --teacher URL",
    );
    let mut response = error_response(&error);
    *response.status_mut() = StatusCode::PRECONDITION_FAILED;
    response
}
