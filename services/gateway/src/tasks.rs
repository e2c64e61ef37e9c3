//! `/api/v1/tasks/{id}`: how a request is getting on, and giving it up.

use action::{Domain, TaskId};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use fault::{Failure, reason};
use http::HeaderMap;
use proto::task::v1::{CancelTaskRequest, GetTaskRequest, Task};
use serde_json::Value;

use crate::body;
use crate::edge::Edge;
use crate::problem::Refusal;
use crate::router::Segment;
use crate::view::TaskView;

const MAX_REASON: usize = 200;

/// Handles `GET /api/v1/tasks/{id}`.
pub(crate) async fn get(
    State(edge): State<Edge>,
    Segment(id): Segment,
    headers: HeaderMap,
) -> Result<Json<TaskView>, Refusal> {
    let caller = edge.prove(&headers).await?;
    let task_id = parse(&id)?.to_string();
    let request = edge.call(GetTaskRequest { task_id });
    let response = edge.peers.tasks(Domain::Orchestrator, &caller).get_task(request).await?;
    view(response.into_inner().task)
}

/// Handles `POST /api/v1/tasks/{id}/cancel`, with or without a body `{"reason": …}`.
pub(crate) async fn cancel(
    State(edge): State<Edge>,
    Segment(id): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TaskView>, Refusal> {
    let caller = edge.prove(&headers).await?;
    let task_id = parse(&id)?.to_string();
    let reason = why(&edge, &headers, body).await?;
    let request = edge.call(CancelTaskRequest { task_id, reason });
    let response = edge.peers.tasks(Domain::Orchestrator, &caller).cancel_task(request).await?;
    tracing::info!(task_id = id, "task cancelled by its tenant");
    view(response.into_inner().task)
}

fn parse(id: &str) -> Result<TaskId, Failure> {
    id.parse().map_err(|_| Failure::new(&reason::INVALID_REQUEST, "a task id is a UUID").field("task_id"))
}

fn view(task: Option<Task>) -> Result<Json<TaskView>, Refusal> {
    let missing = || Failure::new(&reason::TASK_NOT_FOUND, "the tenant has no task with this id").field("task_id");
    Ok(Json(TaskView::from(task.ok_or_else(missing)?)))
}

async fn why(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<String, Failure> {
    // A request without a body says so by its length, or by saying nothing about one.
    let empty = body::announced(headers).is_none_or(|length| length == 0);
    if empty && !headers.contains_key(http::header::TRANSFER_ENCODING) {
        return Ok(String::new());
    }
    let mut fields = body::json_object(headers, body, edge.body()).await?;
    match fields.remove("reason") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) if text.chars().count() <= MAX_REASON => Ok(text),
        Some(_) => {
            let text = format!("`reason` must be a text of at most {MAX_REASON} characters");
            Err(Failure::new(&reason::INVALID_FIELD, text).field("reason"))
        }
    }
}
