//! `/api/chat/status` and `/api/chat/cancel`: the tasks of a chat under the addresses that chat clients know.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body;
use crate::edge::Edge;
use crate::health;
use crate::identity::Proved;
use crate::openapi::ProblemView;
use crate::problem::Refusal;
use crate::tasks;
use crate::view::{TaskView, now};

/// Which task is meant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskBody {
    /// UUID of the task.
    #[schema(format = "uuid")]
    task_id: String,
}

/// Which task is given up, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelBody {
    /// UUID of the task.
    #[schema(format = "uuid")]
    task_id: String,
    /// For the record, at most 200 characters.
    #[serde(default)]
    #[schema(max_length = 200)]
    reason: String,
}

/// Tells how a message is getting on.
#[utoipa::path(
    post, path = "/api/chat/status", tag = "chat", operation_id = "getChatStatus",
    request_body = TaskBody,
    responses((status = 200, body = TaskView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn status(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TaskView>, Refusal> {
    let fields = body::json_object(&headers, body, edge.body()).await?;
    let TaskBody { task_id } = body::typed(fields)?;
    Ok(Json(TaskView::from(tasks::find(&edge, &caller, tasks::parse(&task_id)?).await?)))
}

/// Gives a message up; a run that has begun learns of it within about a second.
#[utoipa::path(
    post, path = "/api/chat/cancel", tag = "chat", operation_id = "cancelChat",
    request_body = CancelBody,
    responses((status = 200, body = TaskView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn cancel(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TaskView>, Refusal> {
    let fields = body::json_object(&headers, body, edge.body()).await?;
    let CancelBody { task_id, reason } = body::typed(fields)?;
    tasks::check_reason(&reason)?;
    Ok(Json(TaskView::from(tasks::give_up(&edge, &caller, tasks::parse(&task_id)?, reason).await?)))
}

/// How the chat is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatHealthView {
    /// `healthy`, `degraded` or `draining`.
    status: &'static str,
    service: &'static str,
    timestamp: String,
}

/// Tells whether messages are taken: 200 while they are, 503 while they are not.
#[utoipa::path(
    get, path = "/api/chat/health", tag = "operation", operation_id = "getChatHealth", security(()),
    responses((status = 200, body = ChatHealthView), (status = 503, body = ChatHealthView)),
)]
pub(crate) async fn health(State(edge): State<Edge>) -> (http::StatusCode, Json<ChatHealthView>) {
    let (code, word) = health::verdict(&edge).await;
    let status = if word == "ok" { "healthy" } else { word };
    (code, Json(ChatHealthView { status, service: "chat", timestamp: now() }))
}
