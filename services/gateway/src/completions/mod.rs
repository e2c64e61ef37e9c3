//! `/v1/chat/completions` and `/v1/models`: for clients that know OpenAI's API. A model is an agent, `agent:<id>`.
//!
//! A completion is a task like any other: checked, charged and answered as a message is. The client keeps the history and sends
//! it along; the last message is the question. It has no session, so nothing of it is kept but the task, unless the client names
//! a conversation. A client that goes away cancels its task, unless it sent an `Idempotency-Key` to come back with.

mod chunk;
pub(crate) mod models;
mod request;
mod shape;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use fault::{Failure, reason};
use futures::StreamExt as _;
use http::{Extensions, HeaderMap};
use service_kit::NotAdmitted;
use service_kit::identity::Standing;

pub(crate) use request::CompletionBody;
pub(crate) use shape::{reshape, speaks_to};

use crate::edge::Edge;
use crate::identity::Staying;
use crate::made::NewTask;
use crate::openapi::OpenAiErrorView;
use crate::problem::Refusal;
use crate::watch::Watch;
use crate::{body, limits};
use chunk::{Completion, Labels};
use request::Question;

/// Answers the last message as an agent does, whole or in pieces.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai", operation_id = "createChatCompletion",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes sending it again safe, and lets the task go on without its client")),
    request_body = CompletionBody,
    responses((status = 200, body = Completion), (status = "default", response = OpenAiErrorView)),
)]
pub(crate) async fn create(
    State(edge): State<Edge>,
    Staying(standing): Staying,
    extensions: Extensions,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    edge.accept_work()?;
    let fields = body::json_object(&headers, body, edge.body()).await?;
    let Question { model, to, text, stream, with_usage } = Question::read(body::typed(fields)?, &headers)?;
    let caller = standing.caller().clone();
    let task = NewTask::of(&extensions);
    let place = edge.watches.seat(&caller.tenant()?.0).map_err(|full| full.of("answers on their way"))?;
    let sent = Watch::send(&edge, caller, to, text, task, place).await;
    let (watch, windows) = sent.map_err(|refused| limits::refused(of_model(refused)))?;
    let labels = Labels::new(&task.id.to_string(), model);
    let limits = limits::openai_headers(&windows);
    if stream {
        return Ok((limits, in_pieces(standing, watch, labels, with_usage)).into_response());
    }
    let answer = watch.answer().await?;
    Ok((limits, Json(Completion::whole(&labels, answer))).into_response())
}

fn in_pieces(standing: Standing, watch: Watch, labels: Labels, with_usage: bool) -> impl IntoResponse {
    let fallen = Box::pin(async move { standing.revoked().await });
    let chunks = chunk::stream(watch, labels, with_usage, fallen).map(Ok::<Event, std::convert::Infallible>);
    Sse::new(chunks).keep_alive(KeepAlive::default())
}

/// A model that is not there is what clients call it.
fn of_model(refused: NotAdmitted) -> NotAdmitted {
    let NotAdmitted { failure, windows } = refused;
    let failure = match failure.field_name() {
        Some("agent_id") if failure.reason() == &reason::ACCESS_DENIED => no_model(failure.detail()),
        _ => failure,
    };
    NotAdmitted { failure, windows }
}

fn no_model(why: &str) -> Failure {
    Failure::new(&reason::AGENT_NOT_FOUND, why).field("model")
}
