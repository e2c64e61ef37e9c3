//! `/v1/chat/completions` and `/v1/models`: for clients that know OpenAI's API. A model is an agent, `agent:<id>`.
//!
//! A completion is a task like any other: checked, charged and answered as a message is. The client keeps the history and sends
//! it along; the last message is the question. A client that goes away cancels its task.

mod chunk;
mod request;
mod shape;

use action::TaskId;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use fault::{Failure, reason};
use futures::StreamExt as _;
use http::HeaderMap;
use proto::management::v1::ListAgentsRequest;
use serde::Serialize;
use service_kit::NotAdmitted;
use utoipa::ToSchema;

pub(crate) use request::CompletionBody;
pub(crate) use shape::reshape;

use crate::edge::Edge;
use crate::identity::Proved;
use crate::openapi::OpenAiErrorView;
use crate::problem::Refusal;
use crate::watch::{GivenUp, Watch};
use crate::{body, chat, limits};
use chunk::{Completion, Labels};
use request::Question;

/// Agents as models.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelsView {
    object: &'static str,
    data: Vec<ModelView>,
}

/// An agent as a model.
#[derive(Debug, Serialize, ToSchema)]
struct ModelView {
    /// `agent:<id>`.
    id: String,
    object: &'static str,
    /// Seconds since 1970.
    created: i64,
    owned_by: String,
}

/// Answers the last message as an agent does, whole or in pieces.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai", operation_id = "createChatCompletion",
    request_body = CompletionBody,
    responses((status = 200, body = Completion), (status = "default", response = OpenAiErrorView)),
)]
pub(crate) async fn create(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    edge.accept_work()?;
    let fields = body::json_object(&headers, body, edge.body()).await?;
    let Question { model, asserted, to, text, stream, with_usage } = Question::read(body::typed(fields)?, &headers)?;
    asserted.agree(&caller)?;
    let task = TaskId::new();
    let given_up = GivenUp::of(&edge, &caller, task);
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
        let chunks = chunk::stream(watch, labels, with_usage).map(Ok::<Event, std::convert::Infallible>);
        return Ok((limits, Sse::new(chunks).keep_alive(KeepAlive::default())).into_response());
    }
    let answer = watch.answer().await?;
    Ok((limits, Json(Completion::whole(&labels, answer))).into_response())
}

/// A model that is not there is what clients call it.
fn of_model(refused: NotAdmitted) -> NotAdmitted {
    let NotAdmitted { failure, windows } = refused;
    let failure = match failure.field_name() {
        Some("agent_id") if failure.reason() == &reason::ACCESS_DENIED => {
            Failure::new(&reason::AGENT_NOT_FOUND, failure.detail()).field("model")
        }
        _ => failure,
    };
    NotAdmitted { failure, windows }
}

/// Lists the tenant's agents as models.
#[utoipa::path(
    get, path = "/v1/models", tag = "openai", operation_id = "listModels",
    responses((status = 200, body = ModelsView), (status = "default", response = OpenAiErrorView)),
)]
pub(crate) async fn models(State(edge): State<Edge>, Proved(caller): Proved) -> Result<Json<ModelsView>, Refusal> {
    let request = edge.call(ListAgentsRequest { page_size: 100, ..ListAgentsRequest::default() });
    let agents = edge.peers.management(&caller).list_agents(request).await?.into_inner().agents;
    let data = agents.into_iter().filter(|agent| agent.is_active).map(|agent| ModelView {
        id: format!("agent:{}", agent.agent_id),
        object: "model",
        created: agent.created_at.map_or(0, |at| at.seconds),
        owned_by: agent.tenant_id,
    });
    Ok(Json(ModelsView { object: "list", data: data.collect() }))
}
