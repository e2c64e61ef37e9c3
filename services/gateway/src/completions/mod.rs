//! `/v1/chat/completions` and `/v1/models`: for clients that know OpenAI's API. A model is an agent, `agent:<id>`.
//!
//! A completion is a task like any other: checked, charged and answered as a message is. The client keeps the history and sends
//! it along; the last message is the question. It has no session, so nothing of it is kept but the task, unless the client names
//! a conversation. A client that goes away cancels its task, unless it sent an `Idempotency-Key` to come back with.

mod chunk;
pub(crate) mod models;
mod request;
mod shape;

use action::TaskId;
use axum::body::Body;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use fault::{Failure, reason};
use futures::StreamExt as _;
use http::HeaderMap;
use service_kit::NotAdmitted;
use service_kit::identity::Standing;

pub(crate) use request::CompletionBody;
pub(crate) use shape::{reshape, speaks_to};

use crate::edge::Edge;
use crate::identity::Staying;
use crate::made::{MadeBefore, MadeId};
use crate::openapi::OpenAiErrorView;
use crate::problem::Refusal;
use crate::watch::{GivenUp, Watch};
use crate::{body, chat, limits, tasks};
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
    made: Option<Extension<MadeId>>,
    before: Option<Extension<MadeBefore>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    edge.accept_work()?;
    let fields = body::json_object(&headers, body, edge.body()).await?;
    let Question { model, to, text, stream, with_usage } = Question::read(body::typed(fields)?, &headers)?;
    let caller = standing.caller().clone();
    let task = made.as_ref().map_or_else(TaskId::new, |Extension(MadeId(id))| (*id).into());
    let watched = if made.is_some() { GivenUp::never } else { GivenUp::of };
    let given_up = watched(&edge, &caller, task);
    // What was let in once is shown again, whatever the limits say by now.
    if before.is_some() && tasks::find(&edge, &caller, task).await.is_ok() {
        let watch = Watch::open(given_up).await?;
        let labels = Labels::new(&task.to_string(), model);
        return Ok(in_pieces(standing, watch, labels, with_usage).into_response());
    }
    let (accepted, windows) = match chat::post(&edge, caller, to, text, task).await {
        Ok(accepted) => accepted,
        Err(refused) => {
            if !refused.failure.leaves_doubt() {
                given_up.disarm();
            }
            return Err(limits::refused(of_model(refused)));
        }
    };
    let watch = Watch::open(given_up).await?;
    let labels = Labels::new(accepted.task_id(), model);
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
